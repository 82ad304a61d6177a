import type { Backend } from '../backend.js'
import type { Transfer } from './restorer.js'

/** Moves whole sequences of models with a running state between the pool and one staging buffer. */
export class WholeTransfer implements Transfer {
  private staging = new Uint8Array(0)

  constructor(
    private readonly backend: Backend,
    /** A sequence id that nobody else uses; empty between calls. */
    private readonly scratch: number
  ) {}

  /**
   * A sequence's state. The view holds until the next call.
   * @param most of more bytes than this nothing is saved.
   * @returns null when the library refused, or there is too much.
   */
  save(sequence: number, most: number): Uint8Array | null {
    const bytes = this.backend.stateBytes(sequence)
    if (bytes > most) return null
    if (bytes > this.staging.length) this.staging = new Uint8Array(bytes)
    const written = this.backend.saveState(sequence, this.staging)
    return written > 0 ? this.staging.subarray(0, written) : null
  }

  /**
   * Puts a state in place of what a sequence holds. Only whole: its positions are [0, piece.end), its state that of the
   * last one.
   * @returns false when the library refused, or the state is not what it should be; then nothing has changed.
   */
  restore(
    blob: Uint8Array,
    piece: { start: number; end: number },
    sequence: number,
    _from: number,
    _to: number,
    onReplace: () => void
  ): boolean {
    const read = this.backend.restoreState(this.scratch, blob)
    try {
      const last = piece.end - 1
      const whole =
        read > 0 &&
        piece.start === 0 &&
        this.backend.minPosition(this.scratch) === last &&
        this.backend.maxPosition(this.scratch) === last
      if (whole) {
        onReplace()
        this.backend.removeRange(sequence, 0, -1)
        this.backend.copyRange(this.scratch, sequence, 0, -1)
      }
      return whole
    } finally {
      this.backend.removeRange(this.scratch, 0, -1)
    }
  }
}
