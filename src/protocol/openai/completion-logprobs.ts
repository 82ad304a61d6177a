import type { PromptLogprob, TokenLogprob } from '../../engine/messages.js'

/** The shape of `logprobs` in `/v1/completions`: one entry per token in each list. */
export interface CompletionLogprobs {
  /** Where each token begins in the text, in characters (code points). */
  text_offset: number[]
  /** 0 for the first token of an echoed prompt, which follows nothing: the specification allows numbers only. */
  token_logprobs: number[]
  tokens: string[]
  /** The most likely tokens and the chosen one; empty for that first token. */
  top_logprobs: Array<Record<string, number>>
}

/** Collects the tokens of one answer, and knows where in the text the next one begins. */
export class LogprobWriter {
  #offset: number

  /** @param offset characters of the text in front of the answer (an echoed prompt) */
  constructor(offset: number) {
    this.#offset = offset
  }

  write(tokens: ReadonlyArray<TokenLogprob | PromptLogprob>): CompletionLogprobs {
    const written = emptyLogprobs()
    for (const { bytes, logprob, top } of tokens) {
      const token = tokenText(bytes)
      written.text_offset.push(this.#offset)
      written.tokens.push(token)
      this.#offset += countCharacters(bytes)
      if (logprob === null) {
        written.token_logprobs.push(0)
        written.top_logprobs.push({})
        continue
      }
      written.token_logprobs.push(finite(logprob))
      const alternatives = top.map(entry => [tokenText(entry.bytes), finite(entry.logprob)] as const)
      written.top_logprobs.push({ ...Object.fromEntries(alternatives), [token]: finite(logprob) })
    }
    return written
  }
}

export function emptyLogprobs(): CompletionLogprobs {
  return { text_offset: [], token_logprobs: [], tokens: [], top_logprobs: [] }
}

export function appendLogprobs(to: CompletionLogprobs, more: CompletionLogprobs): void {
  to.text_offset.push(...more.text_offset)
  to.token_logprobs.push(...more.token_logprobs)
  to.tokens.push(...more.tokens)
  to.top_logprobs.push(...more.top_logprobs)
}

/**
 * The prompt's tokens as they stand in the echoed text: without what the tokenizer puts in front of a text (a BOS token, a
 * blank). The first one that is shown follows nothing and has no log probability.
 */
export function echoedTokens(tokens: readonly PromptLogprob[], echo: string): PromptLogprob[] {
  const fits = [tokens, tokens.slice(1), withoutBlank(tokens), withoutBlank(tokens.slice(1))].find(
    candidate => Buffer.from(candidate.flatMap(({ bytes }) => bytes)).toString() === echo
  )
  const [first, ...others] = fits ?? tokens
  return first ? [{ ...first, logprob: null, top: [] }, ...others] : []
}

function withoutBlank([first, ...others]: readonly PromptLogprob[]): PromptLogprob[] {
  if (first?.bytes[0] !== 0x20) return []
  return [{ ...first, bytes: first.bytes.slice(1) }, ...others]
}

/** A token that is no whole number of characters is written `bytes:\xf0\x9f`, as OpenAI does. */
function tokenText(bytes: number[]): string {
  const buffer = Buffer.from(bytes)
  const text = buffer.toString('utf8')
  if (Buffer.from(text).equals(buffer)) return text
  return `bytes:${bytes.map(byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`
}

/** Characters that begin in these bytes of UTF-8. */
function countCharacters(bytes: number[]): number {
  return bytes.reduce((count, byte) => ((byte & 0xc0) === 0x80 ? count : count + 1), 0)
}

/** JSON has no -Infinity; OpenAI writes -9999 for a token that is very unlikely. */
function finite(logprob: number | null): number {
  return logprob === null || !Number.isFinite(logprob) ? -9999 : Math.min(0, logprob)
}
