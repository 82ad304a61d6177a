import type { TokenLogprob } from '../messages.js'
import { StopMatcher } from './stop-matcher.js'
import { Utf8Assembler } from './utf8.js'

/** Text that may go out, with the tokens (and their logprobs) that it completes. */
export interface AnswerPiece {
  text: string
  tokens: number
  logprobs: TokenLogprob[] | undefined
  /** The stop text that ended the answer. */
  stop: string | null
}

interface PendingToken {
  /** Where its text ends in the whole answer, UTF-16 units. */
  end: number
  logprob: TokenLogprob | undefined
}

/** Turns the generated tokens of one choice into the text that a client sees. */
export class Answer {
  private readonly utf8 = new Utf8Assembler()
  private readonly stops: StopMatcher
  private readonly pending: PendingToken[] = []
  private assembled = 0
  private emitted = 0
  /** Where the text of the last released token ends. */
  private released = 0

  constructor(stops: readonly string[]) {
    this.stops = new StopMatcher(stops)
  }

  push(bytes: Uint8Array, logprob?: TokenLogprob): AnswerPiece {
    const text = this.utf8.push(bytes)
    this.assembled += text.length
    this.pending.push({ end: this.assembled, logprob })
    const { text: clear, stop } = this.stops.push(text)
    // No text: half a character, or the beginning of a stop. Its tokens go out with the text they complete.
    if (clear.length === 0 && stop === null) return { text: '', tokens: 0, logprobs: undefined, stop: null }
    return this.release(clear, stop)
  }

  /** No token follows: what was held back comes out. */
  end(): AnswerPiece {
    const rest = this.utf8.end()
    this.assembled += rest.length
    const last = this.pending.at(-1)
    if (last) last.end = this.assembled
    const { text, stop } = this.stops.push(rest)
    return this.release(stop === null ? text + this.stops.end() : text, stop)
  }

  private release(text: string, stop: string | null): AnswerPiece {
    this.emitted += text.length
    let tokens = 0
    let logprobs: TokenLogprob[] | undefined
    while (this.pending.length > 0) {
      const first = this.pending[0] as PendingToken
      // A token that a stop text cuts counts when some of its text went out.
      const cut = stop !== null && this.released < this.emitted
      if (first.end > this.emitted && !cut) break
      this.pending.shift()
      this.released = first.end
      tokens++
      if (first.logprob) {
        logprobs ??= []
        logprobs.push(first.logprob)
      }
    }
    return { text, tokens, logprobs, stop }
  }
}
