/** Rows of a step and the depth they look back on. */
export interface StepShape {
  rows: number
  /** Sum over rows of the position of each: how many cells they attend to, together. */
  depth: number
}

/** From this many rows on a CPU takes a tiled path for attention (llama-facts: 64 rows cost less than 63). */
export const TILED_ROWS = 64

/** Older steps count less: the weight of a step halves in about 140 further ones. */
const FORGETTING = 0.995

/** A row of a large step costs at least this part of a row of the cheapest step seen. */
const ECONOMY = 0.75

/** What a step counts that took longer than expected. */
const SLOW_WEIGHT = 0.3

/**
 * Learns what a step costs: ms = a + b * rows + c * depth, by recursive least squares, apart for small and for tiled
 * steps. Source: the standard recursive least squares update with exponential forgetting and weights: a step that took
 * longer than expected counts for less, since what else the machine does only ever makes steps longer.
 */
export class StepCostModel {
  private readonly small = new Fit()
  private readonly tiled = new Fit()

  observe(shape: StepShape, ms: number): void {
    this.fit(shape.rows).observe(features(shape), ms)
  }

  /** Milliseconds; null before enough steps of this kind were seen. */
  predict(shape: StepShape): number | null {
    return this.fit(shape.rows).predict(features(shape))
  }

  /** The same, but before enough were seen by the rows alone, rather too much than too little; null before any was. */
  estimate(shape: StepShape): number | null {
    const known = this.predict(shape)
    if (known !== null) return known
    const perRow = this.fit(shape.rows).mostPerRow || this.small.mostPerRow
    return perRow === 0 ? null : perRow * shape.rows
  }

  private fit(rows: number): Fit {
    return rows < TILED_ROWS ? this.small : this.tiled
  }
}

type Features = [number, number, number]

/** Scaled so that all three are of the same size in ordinary steps. */
function features({ rows, depth }: StepShape): Features {
  return [1, rows / 64, depth / 65536]
}

class Fit {
  private readonly weights: Features = [0, 0, 0]
  private readonly covariance = [
    [1000, 0, 0],
    [0, 1000, 0],
    [0, 0, 1000]
  ] as [Features, Features, Features]
  private seen = 0
  /** Milliseconds per row of the dearest step seen; 0 before any. */
  mostPerRow = 0
  /** Of the cheapest one, forgotten slowly. */
  private leastPerRow = Number.POSITIVE_INFINITY

  observe(x: Features, ms: number): void {
    const perRow = ms / (64 * x[1])
    this.mostPerRow = Math.max(this.mostPerRow, perRow)
    this.leastPerRow = Math.min(this.leastPerRow / FORGETTING, perRow)
    // One step that waited for another process must not teach that steps are slow.
    const expected = this.predict(x)
    const y = expected !== null && ms > expected * 4 + 5 ? expected * 4 + 5 : ms
    const px = this.covariance.map(row => dot(row, x)) as Features
    const error = y - dot(this.weights, x)
    const weight = expected !== null && error > 0 ? SLOW_WEIGHT : 1
    const gain = FORGETTING / weight + dot(x, px)
    for (let i = 0; i < 3; i++) this.weights[i]! += (px[i]! / gain) * error
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 3; j++) {
        this.covariance[i]![j] = (this.covariance[i]![j]! - (px[i]! * px[j]!) / gain) / FORGETTING
      }
    }
    // Forgetting inflates directions that never vary; bounded, they cannot blow up.
    if (this.covariance[0]![0]! > 1e6) this.restart()
    this.seen++
  }

  predict(x: Features): number | null {
    if (this.seen < 4) return null
    // Few steps of about one size say little of larger ones: those do not become much cheaper by the row.
    return Math.max(0.01, dot(this.weights, x), ECONOMY * this.leastPerRow * 64 * x[1])
  }

  private restart(): void {
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) this.covariance[i]![j] = i === j ? 1000 : 0
  }
}

function dot(a: Features, b: Features): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
