import type { Backend } from '../backend.js'
import { type StepCostModel, type StepShape, TILED_ROWS } from './step-cost.js'
import { type Chunk, shapeOf } from './step-plan.js'

/** Padding has to save at least this part of the time: estimates waver. */
const LEAST_GAIN = 0.15

/**
 * The end of a prompt, or a short turn below a long history, is rarely a multiple of 64 rows, and on a CPU 30 rows far down
 * take longer than 64 (docs/performance.md): such a batch is filled up with rows that are thrown away.
 */
export class RowPadding {
  constructor(
    private readonly backend: Backend,
    private readonly cost: StepCostModel
  ) {}

  /**
   * @param free cells that such rows may take for the time of the step.
   * @returns how many rows to add to this batch; usually 0.
   */
  rowsFor(chunks: readonly Chunk[], free: number): number {
    const { capabilities, info } = this.backend
    if (info.device !== 'CPU' || capabilities.memory !== 'attention') return 0
    const shape = shapeOf(chunks)
    const missing = TILED_ROWS - shape.rows
    if (missing <= 0 || TILED_ROWS > capabilities.batchRows || missing > free) return 0
    // Next tokens of many streams have no tile in common; and nothing may change what reproducible rows are computed with.
    const promptRows = chunks.reduce((rows, { count }) => rows + (count > 1 ? count : 0), 0)
    if (2 * promptRows < shape.rows || chunks.some(({ stream }) => stream.reproducible)) return 0
    const plain = this.cost.predict(shape)
    const tiled = this.cost.predict(paddedShape(shape, missing))
    return plain !== null && tiled !== null && tiled < plain * (1 - LEAST_GAIN) ? missing : 0
  }
}

/** What a padded batch costs: its rows are computed by tiles as deep as the real ones look back. */
export function paddedShape({ rows, depth }: StepShape, padding: number): StepShape {
  return { rows: rows + padding, depth: (depth / rows) * (rows + padding) }
}
