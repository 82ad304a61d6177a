/** The kinds of requests of a mixed load, as a machine of many users and agents sees them. */
import { type ChatRequest, type Endpoint, type Message, type StreamResult, stream } from './client.js'
import { sleep } from './load.js'
import type { Prompts } from './prompts.js'
import type { Random } from './random.js'

export interface Asked {
  kind: Kind
  result: StreamResult
  /** How many tokens the answer should have. */
  tokens: number
}

export type Kind = 'chat' | 'agent' | 'long' | 'slow' | 'cancel' | 'disconnect'

/** Shares of the kinds, together 1. */
const shares: Array<[Kind, number]> = [
  ['chat', 0.45],
  ['agent', 0.25],
  ['long', 0.05],
  ['slow', 0.05],
  ['cancel', 0.12],
  ['disconnect', 0.08]
]

export class Mix {
  /** Histories of agents, each shared by nobody, behind one common system prompt. */
  readonly #agents: Message[][]

  constructor(
    readonly prompts: Prompts,
    readonly random: Random,
    agents = 6
  ) {
    this.#agents = Array.from({ length: agents }, () => this.#freshHistory())
  }

  /** One request of a kind drawn at random; resolves when it has ended. */
  async ask(server: Endpoint, key: string): Promise<Asked> {
    const kind = this.#draw()
    const between = (low: number, high: number) => low + Math.floor(this.random() * (high - low + 1))
    const user = (words: number): Message[] => [{ role: 'user', content: this.prompts.text(key, words) }]
    const send = async (chat: ChatRequest): Promise<Asked> => ({
      kind,
      result: await stream(server, chat),
      tokens: chat.tokens
    })
    switch (kind) {
      case 'chat':
        return send({ messages: user(between(20, 120)), tokens: between(16, 96), temperature: 0.8 })
      case 'long':
        return send({ messages: user(between(800, 1600)), tokens: 16 })
      case 'slow':
        return send({ messages: user(30), tokens: between(64, 128), readDelayMs: 100 })
      case 'cancel': {
        const after = between(1, 20)
        return send({ messages: user(40), tokens: 256, onContent: events => events >= after })
      }
      case 'disconnect': {
        // Gone before the first token, as a client whose own time limit is short.
        const leave = new AbortController()
        const answer = send({ messages: user(between(100, 600)), tokens: 32, signal: leave.signal })
        await Promise.race([answer, sleep(between(1, 60))])
        leave.abort()
        return answer
      }
      case 'agent':
        return this.#agentTurn(key, send)
    }
  }

  async #agentTurn(key: string, send: (chat: ChatRequest) => Promise<Asked>): Promise<Asked> {
    // Taken out while it speaks, so that no history has two turns at once.
    const history = this.#agents.shift() ?? this.#freshHistory()
    history.push({ role: 'user', content: this.prompts.text(key, 40) })
    const asked = await send({ messages: history, tokens: 32 })
    const { result } = asked
    if (result.done) history.push({ role: 'assistant', content: result.text })
    else history.pop()
    this.#agents.push(history.length > 17 ? this.#freshHistory() : history)
    return asked
  }

  #freshHistory(): Message[] {
    const nonce = Math.floor(this.random() * 2 ** 32)
    return [
      { role: 'system', content: this.prompts.text('system', 300) },
      { role: 'user', content: this.prompts.text(`history ${nonce}`, 200) },
      { role: 'assistant', content: 'I see.' }
    ]
  }

  #draw(): Kind {
    let at = this.random()
    for (const [kind, share] of shares) {
      at -= share
      if (at < 0) return kind
    }
    return 'chat'
  }
}
