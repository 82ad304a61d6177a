/** Counts of values in fixed buckets; plain JSON, so that it can be sent between processes. */
export interface HistogramSnapshot {
  /** Upper bounds, inclusive, ascending. */
  bounds: number[]
  /** How many values fell into each bucket and not into an earlier one; the last is for those above all bounds. */
  counts: number[]
  sum: number
}

/** A histogram with fixed buckets: bounded memory, and an observation is a short walk over the bounds. */
export class FixedHistogram {
  private readonly counts: number[]
  private sum = 0

  /** @param bounds upper bounds, inclusive, ascending */
  constructor(private readonly bounds: readonly number[]) {
    this.counts = new Array<number>(bounds.length + 1).fill(0)
  }

  observe(value: number): void {
    let bucket = 0
    while (bucket < this.bounds.length && value > (this.bounds[bucket] as number)) bucket++
    ;(this.counts[bucket] as number)++
    this.sum += value
  }

  snapshot(): HistogramSnapshot {
    return { bounds: [...this.bounds], counts: [...this.counts], sum: this.sum }
  }
}
