import type { Stream } from './stream.js'

/**
 * Absolute positions at which reproducible prefill is cut. A cold and a cached computation of the same prompt then run
 * through the same shapes: matrices of this many rows, the rest before the last prompt token, the last prompt token
 * alone, then one row per generated token.
 */
export function reproducibleGrid(batchRows: number): number {
  return Math.min(256, batchRows)
}

/** How many tokens a reproducible stream computes next; 0 when that does not fit into `room` rows. */
export function reproducibleChunk(stream: Stream, grid: number, room: number): number {
  const lastPromptToken = stream.promptLength - 1
  if (stream.computed >= lastPromptToken) return room > 0 ? 1 : 0
  const border = gridFloor(stream.computed, grid) + grid
  const count = Math.min(border, lastPromptToken) - stream.computed
  return count <= room ? count : 0
}

/**
 * The longest prefix of a stream's tokens that it may take from the cache: never its newest token, whose logits are
 * needed; in reproducible mode only whole squares of the grid, since the rest was computed in other shapes.
 */
export function attachLimit(stream: Stream, grid: number): number {
  const all = stream.tokens.length - 1
  if (!stream.reproducible) return all
  return gridFloor(Math.min(all, stream.promptLength - 1), grid)
}

/** How much of what a stream has computed others may share. */
export function insertLimit(stream: Stream, grid: number): number {
  return stream.reproducible
    ? gridFloor(Math.min(stream.computed, stream.promptLength - 1), grid)
    : stream.computed
}

function gridFloor(position: number, grid: number): number {
  return Math.floor(position / grid) * grid
}
