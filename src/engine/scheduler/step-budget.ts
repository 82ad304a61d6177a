import { StepCostModel, type StepShape } from './step-cost.js'

export interface StepBudgetOptions {
  /** Most rows in a step. */
  batchRows: number
  /** While streams decode, a step should take no longer than this, milliseconds. */
  targetMs: number
  /** While nothing decodes, a step may take this long: it delays cancellation and new arrivals. */
  idleTargetMs: number
}

/** How the prompt rows of a step are computed. */
export interface PromptWay {
  /** By themselves, after the decode rows. */
  apart: boolean
  /** Running streams go on meanwhile. */
  steady: boolean
  /** So many rows complete a prompt: for that the step may take longer, since another one costs more. */
  rest: number
}

/** Prompt rows are added in units of this; fewer would waste the tiled path of a CPU, and a GPU even more. */
const CHUNK_ROWS = 64

/** How much longer a step may take that completes a prompt. */
const SLACK = 1.5

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
  promptRows(
    decode: StepShape,
    promptDepth: number,
    { apart = false, steady = false, rest = 0 }: Partial<PromptWay> = {}
  ): number {
    const room = this.options.batchRows - decode.rows
    const target = decode.rows > 0 && !steady ? this.options.targetMs : this.options.idleTargetMs
    const least = Math.min(room, apart ? CHUNK_ROWS : Math.max(CHUNK_ROWS - decode.rows, 1))
    let rows = least
    while (rows < room) {
      const more = Math.min(room, rows + CHUNK_ROWS)
      const predicted = this.predict(decode, { rows: more, depth: more * (promptDepth + more / 2) }, apart)
      const most = rows < rest && more >= rest ? target * SLACK : target
      // Nothing known yet: begin small where someone is waiting for the next token.
      if (predicted === null ? decode.rows > 0 : predicted > most) break
      rows = more
    }
    return rows
  }

  private predict(decode: StepShape, prompt: StepShape, apart: boolean): number | null {
    // Where nobody waits for a next token, an estimate that is too high would only make the first steps too small.
    const cost = (shape: StepShape) =>
      decode.rows > 0 ? this.cost.estimate(shape) : this.cost.predict(shape)
    if (!apart) return cost({ rows: decode.rows + prompt.rows, depth: decode.depth + prompt.depth })
    const alone = cost(prompt)
    return alone === null ? null : alone + (decode.rows > 0 ? (cost(decode) ?? 0) : 0)
  }
}
