/**
 * Remembers how the model wrote its turns, so that they can be given back to it exactly so (written-turns.ts). A turn is
 * found by the whole conversation before it and by what its message says; ids of calls and thinking do not count,
 * because clients change the ones and drop the other.
 */
import { createHash } from 'node:crypto'
import type { TemplateMessage, WrittenTurn } from '../template/types.js'
import type { ReadChoice } from './reader.js'
import { canonicalJson } from './same-turn.js'

interface Remembered extends WrittenTurn {
  reasoning: string
}

/** A conversation up to where an answer is wanted. */
export interface Recalled {
  messages: TemplateMessage[]
  /** Names this conversation. */
  key: string
}

/** Characters of the prompt's end that are kept with a turn; a generation prompt is shorter. */
const leadLength = 256
const defaultLimit = 16 * 1024 * 1024
/** Bytes of a map entry beside its text, roughly. */
const overhead = 300

export class TurnMemory {
  /** Least recently used first. */
  readonly #turns = new Map<string, Remembered>()
  #size = 0

  /** @param limit characters of all turns together, and bytes of their tokens */
  constructor(private readonly limit = defaultLimit) {}

  /** Adds to the assistant's messages what is remembered of them, thinking included where the client left it out. */
  recall(salt: string, messages: readonly TemplateMessage[]): Recalled {
    let key = digest('octavo', salt)
    const recalled = messages.map(message => {
      key = digest(key, identity(message))
      if (message.role !== 'assistant') return message
      const turn = this.#find(key)
      if (!turn) return message
      const { lead, text, tokens, reasoning } = turn
      const thought = message.reasoning_content ?? reasoning
      return {
        ...message,
        written: { lead, text, tokens },
        ...(thought === '' ? {} : { reasoning_content: thought })
      }
    })
    return { messages: recalled, key }
  }

  /** @param prompt the rendered text that the choice followed */
  remember(key: string, prompt: string, choice: ReadChoice): void {
    const message: TemplateMessage = {
      role: 'assistant',
      content: choice.content,
      tool_calls: choice.calls.map(call => ({
        id: call.id,
        type: 'function',
        function: { name: call.name, arguments: call.arguments }
      }))
    }
    this.#store(digest(key, identity(message)), {
      lead: detached(prompt.slice(-leadLength)),
      text: choice.raw,
      tokens: choice.tokens ? Int32Array.from(choice.tokens) : null,
      reasoning: choice.reasoning
    })
  }

  #find(key: string): Remembered | undefined {
    const turn = this.#turns.get(key)
    if (turn) {
      this.#turns.delete(key)
      this.#turns.set(key, turn)
    }
    return turn
  }

  #store(key: string, turn: Remembered): void {
    this.#forget(key)
    this.#turns.set(key, turn)
    this.#size += sizeOf(turn)
    for (const oldest of this.#turns.keys()) {
      if (this.#size <= this.limit) break
      this.#forget(oldest)
    }
  }

  #forget(key: string): void {
    const turn = this.#turns.get(key)
    if (!turn) return
    this.#turns.delete(key)
    this.#size -= sizeOf(turn)
  }
}

function sizeOf(turn: Remembered): number {
  const tokens = turn.tokens?.byteLength ?? 0
  return turn.lead.length + turn.text.length + turn.reasoning.length + tokens + overhead
}

function identity(message: TemplateMessage): string {
  const content = message.role === 'assistant' ? message.content.trim() : message.content
  const calls = (message.tool_calls ?? []).map(({ function: { name, arguments: args } }) => [
    name,
    typeof args === 'string' ? canonicalJson(args) : JSON.stringify(args)
  ])
  return JSON.stringify([message.role, message.name ?? null, content, calls])
}

function digest(...parts: string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('base64')
}

/** A copy: a slice of a long string keeps all of it in memory. */
function detached(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le')
}
