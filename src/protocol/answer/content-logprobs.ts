import type { TokenLogprob } from '../../engine/messages.js'

/**
 * Finds the tokens that a piece of content was made of, among all tokens of the answer: those of thinking, of tool calls
 * and of markers are left out.
 */
export class ContentLogprobs {
  #pending: TokenLogprob[] = []

  add(tokens: readonly TokenLogprob[]): void {
    this.#pending.push(...tokens)
  }

  /** The shortest run of tokens whose bytes hold the text; what comes before it is dropped. */
  take(text: string): TokenLogprob[] {
    if (this.#pending.length === 0) return []
    const wanted = Buffer.from(text)
    const all = Buffer.concat(this.#pending.map(token => Buffer.from(token.bytes)))
    const at = all.indexOf(wanted)
    if (at < 0) return []
    let from = 0
    let position = 0
    while (position + this.#size(from) <= at) position += this.#size(from++)
    let to = from
    while (to < this.#pending.length && position < at + wanted.length) position += this.#size(to++)
    return this.#pending.splice(0, to).slice(from)
  }

  #size(index: number): number {
    return this.#pending[index]?.bytes.length ?? Number.POSITIVE_INFINITY
  }
}
