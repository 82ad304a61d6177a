import type { Backend } from '../backend.js'
import type { PathSegment } from '../cache/prefix-index.js'

/**
 * Moves the cells of a piece between the pool and one staging buffer, through a scratch sequence id: saving is
 * `seq_cp(holder -> scratch, a, b)`, get_data, rm; restoring is set_data into scratch, cp, rm. The buffer is touched once
 * and used for ever: a fresh one of 67 MB costs 180 ms of page faults, a touched one 6 ms (docs/performance.md).
 */
export class PieceTransfer {
  private staging = new Uint8Array(0)

  constructor(
    private readonly backend: Backend,
    /** A sequence id that nobody else uses; empty between calls. */
    private readonly scratch: number
  ) {}

  /**
   * The state of positions [start, end) of a path. The view holds until the next call.
   * @returns null when the library refused.
   */
  save(path: readonly PathSegment[], start: number, end: number): Uint8Array | null {
    for (const { branch, from, to } of path) {
      const p0 = Math.max(from, start)
      const p1 = Math.min(to, end)
      if (p0 < p1) this.backend.copyRange(branch.sequence, this.scratch, p0, p1)
    }
    try {
      const whole =
        this.backend.minPosition(this.scratch) === start && this.backend.maxPosition(this.scratch) === end - 1
      if (!whole) return null
      const bytes = this.backend.stateBytes(this.scratch)
      if (bytes > this.staging.length) this.staging = new Uint8Array(bytes)
      const written = this.backend.saveState(this.scratch, this.staging)
      return written > 0 ? this.staging.subarray(0, written) : null
    } finally {
      this.backend.removeRange(this.scratch, 0, -1)
    }
  }

  /**
   * Puts a piece's cells at positions [from, to) into a sequence; the rest of the piece is dropped.
   * @returns false when the library refused, or the piece is not what it should be; then nothing has changed.
   */
  restore(
    blob: Uint8Array,
    piece: { start: number; end: number },
    sequence: number,
    from: number,
    to: number
  ): boolean {
    const read = this.backend.restoreState(this.scratch, blob)
    try {
      const whole =
        read > 0 &&
        this.backend.minPosition(this.scratch) === piece.start &&
        this.backend.maxPosition(this.scratch) === piece.end - 1
      if (whole) this.backend.copyRange(this.scratch, sequence, from, to)
      return whole
    } finally {
      this.backend.removeRange(this.scratch, 0, -1)
    }
  }
}
