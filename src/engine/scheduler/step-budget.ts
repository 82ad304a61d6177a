import { StepCostModel, type StepShape } from './step-cost.js'

export interface StepBudgetOptions {
  /** Most rows in a step. */
  batchRows: number
  /** While streams decode, a step should take no longer than this, milliseconds. */
  targetMs: number
  /** While nothing decodes, a step may take this long: it delays cancellation and new arrivals. */
  idleTargetMs: number
}

/** Prompt rows are added in units of this; fewer would waste the tiled path of a CPU, and a GPU even more. */
const CHUNK_ROWS = 64

/** Sizes steps so that running streams keep a steady gap while a long prompt is taken in. */
export class StepBudget {
  readonly cost = new StepCostModel()

  constructor(private readonly options: StepBudgetOptions) {}

  observe(shape: StepShape, ms: number): void {
    this.cost.observe(shape, ms)
  }

  /**
   * How many prompt rows a step may take in beside its decode rows.
   * @param decode the rows of running streams.
   * @param promptDepth position at which the prompts continue, about.
   */
  promptRows(decode: StepShape, promptDepth: number): number {
    const room = this.options.batchRows - decode.rows
    const target = decode.rows > 0 ? this.options.targetMs : this.options.idleTargetMs
    const least = Math.min(room, Math.max(CHUNK_ROWS - decode.rows, 1))
    let rows = least
    while (rows < room) {
      const more = Math.min(room, rows + CHUNK_ROWS)
      const predicted = this.cost.predict({
        rows: decode.rows + more,
        depth: decode.depth + more * (promptDepth + more / 2)
      })
      // Nothing known yet: begin small where someone is waiting for the next token.
      if (predicted === null ? decode.rows > 0 : predicted > target) break
      rows = more
    }
    return rows
  }
}
