import type { StepShape } from './step-cost.js'
import type { Stream } from './stream.js'

/** The tokens [from, from + count) of a stream, to be computed in one step. */
export interface Chunk {
  stream: Stream
  from: number
  count: number
  /** The last of them is the stream's newest token: its logits give the next one. */
  output: boolean
}

/** One step: usually one batch; each reproducible stream has one of its own. */
export interface StepPlan {
  batches: Chunk[][]
}

export function rowsOf(chunks: readonly Chunk[]): number {
  return chunks.reduce((rows, chunk) => rows + chunk.count, 0)
}

/** Rows of a batch, and the depth they look back on. */
export function shapeOf(chunks: readonly Chunk[]): StepShape {
  let depth = 0
  for (const { from, count } of chunks) depth += count * (from + count / 2)
  return { rows: rowsOf(chunks), depth }
}

/** Running streams together are so many times as long as what the pool holds. */
const SHARED = 2

/**
 * Running streams have most of their cells in common. Copies of each would all be read from memory; what is common stays in
 * the caches.
 *
 * @param together lengths of the streams, added up.
 * @param used cells that are not free.
 */
export function mostlyShared(together: number, used: number): boolean {
  return together > SHARED * used
}
