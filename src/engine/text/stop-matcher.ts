/** What `push` gives: text that may go out, and the stop text that ended the answer (null while none has). */
export interface StopResult {
  text: string
  stop: string | null
}

/**
 * Finds stop texts in text that arrives in pieces. Text that could be the beginning of a stop is held back until it is
 * clear; a stop text itself is never given out. Of several stops the one that begins first wins, of those the longest.
 */
export class StopMatcher {
  private held = ''
  private readonly longest: number

  constructor(private readonly stops: readonly string[]) {
    this.longest = stops.reduce((most, stop) => Math.max(most, stop.length), 0)
  }

  /** UTF-16 units held back now. */
  get heldLength(): number {
    return this.held.length
  }

  push(piece: string): StopResult {
    if (this.longest === 0) return { text: piece, stop: null }
    const text = this.held + piece
    const found = this.find(text)
    if (found) {
      this.held = ''
      return { text: text.slice(0, found.index), stop: found.stop }
    }
    const keep = this.heldBack(text)
    this.held = text.slice(text.length - keep)
    return { text: text.slice(0, text.length - keep), stop: null }
  }

  /** The answer ended otherwise: what was held back. */
  end(): string {
    const rest = this.held
    this.held = ''
    return rest
  }

  private find(text: string): { index: number; stop: string } | undefined {
    let best: { index: number; stop: string } | undefined
    for (const stop of this.stops) {
      const index = text.indexOf(stop)
      if (index === -1) continue
      if (!best || index < best.index || (index === best.index && stop.length > best.stop.length)) {
        best = { index, stop }
      }
    }
    return best
  }

  /** Length of the longest end of `text` that is a true beginning of a stop. */
  private heldBack(text: string): number {
    for (let length = Math.min(this.longest - 1, text.length); length > 0; length--) {
      const tail = text.slice(text.length - length)
      if (this.stops.some(stop => stop.length > length && stop.startsWith(tail))) return length
    }
    return 0
  }
}
