import { assertWhole, type Endpoint, type Message, stream } from './client.js'
import { Prompts } from './prompts.js'

/** How the words of a prompt become tokens for a model: tokens = fixed (the template's own) + words x perWord. */
export interface TokenRate {
  fixed: number
  perWord: number
}

/** Learns the rate from two short prompts, always the same, by the usage that the server reports. */
export async function learnTokenRate(server: Endpoint): Promise<TokenRate> {
  const prompts = new Prompts('token rate')
  const count = async (words: number) => {
    const messages: Message[] = [{ role: 'user', content: prompts.text(String(words), words) }]
    const result = await stream(server, { messages, tokens: 1 })
    assertWhole([result], 1, 'token rate')
    return result.promptTokens
  }
  const short = await count(20)
  const long = await count(420)
  const perWord = (long - short) / 400
  if (!(perWord > 0)) throw new Error('the server reports no prompt tokens')
  return { fixed: short - 20 * perWord, perWord }
}

/** How many words make about `tokens` tokens beside those of the template. */
export function wordsFor(tokens: number, rate: TokenRate): number {
  return Math.max(1, Math.round(tokens / rate.perWord))
}

/**
 * @throws Error when two servers did not see prompts of the same length: then they did not do the same work.
 * A small difference (a BOS token, a system message of the template's own) is let through.
 */
export function assertSameWork(counts: Map<string, number>): void {
  const values = [...counts.values()]
  if (Math.max(...values) > Math.min(...values) * 1.02 + 4) {
    const list = [...counts].map(([name, tokens]) => `${name}: ${tokens}`).join(', ')
    throw new Error(`the servers saw prompts of different lengths (${list})`)
  }
}
