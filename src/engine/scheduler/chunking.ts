import type { Stream } from './stream.js'

/**
 * Absolute positions at which reproducible prefill is cut where results depend on the shape of a batch. A cold and a
 * cached computation of the same prompt then run through the same shapes: this many rows, the rest before the last
 * prompt token, the last prompt token alone, then one row per generated token.
 */
const GRID = 32

/** How reproducible streams are computed, so that neither load nor cache changes their text. */
export class ReproducibleShapes {
  private readonly grid: number

  constructor(
    batchRows: number,
    /** Capabilities.invariantRows: in batches this small, rows do not depend on each other's presence. */
    readonly invariantRows: number
  ) {
    this.grid = Math.min(GRID, batchRows)
  }

  /** Small batches are invariant: all reproducible streams may share one, cut anywhere. */
  get shared(): boolean {
    return this.invariantRows > 0
  }

  /** How many tokens a stream computes next in a batch of its own; 0 when its chunk does not fit into `room` rows. */
  chunk(stream: Stream, room: number): number {
    const lastPromptToken = stream.promptLength - 1
    if (stream.computed >= lastPromptToken) return room > 0 ? 1 : 0
    const border = this.floor(stream.computed) + this.grid
    const count = Math.min(border, lastPromptToken) - stream.computed
    return count <= room ? count : 0
  }

  /** The longest prefix that a stream may take from the cache: never its newest token, whose logits are needed. */
  attachLimit(stream: Stream): number {
    const all = stream.tokens.length - 1
    if (!stream.reproducible || this.shared) return all
    return this.floor(Math.min(all, stream.promptLength - 1))
  }

  /** How much of what a stream has computed others may share. */
  insertLimit(stream: Stream): number {
    if (!stream.reproducible || this.shared) return stream.computed
    return this.floor(Math.min(stream.computed, stream.promptLength - 1))
  }

  /** The last position up to `position` at which a stream may be cut. */
  cut(stream: Stream, position: number): number {
    return !stream.reproducible || this.shared ? position : this.floor(position)
  }

  private floor(position: number): number {
    return Math.floor(position / this.grid) * this.grid
  }
}
