/** A split must save at least this part of the time: measurements waver. */
const LEAST_GAIN = 0.04

/**
 * Into how many batches a few running streams' rows are best divided. Usually one; but kernels made for many rows can be
 * slow with few: on an x64 CPU with q8_0 weights two rows take as long as four and three times as long as one
 * (docs/performance.md), so that four streams are faster one by one.
 */
export class DecodeSplit {
  /** For 1, 2, 3, ... rows: sizes of the batches. */
  private readonly sizes: number[][] = []

  /** @param costs milliseconds of a batch of 1, 2, 3, ... rows. More rows than that stay together. */
  constructor(costs: readonly number[]) {
    const best = [0]
    for (let rows = 1; rows <= costs.length; rows++) {
      const whole = costs[rows - 1] as number
      let least = whole
      let sizes = [rows]
      for (let first = 1; first < rows; first++) {
        const cost = (costs[first - 1] as number) + (best[rows - first] as number)
        if (cost >= least || cost > whole * (1 - LEAST_GAIN)) continue
        least = cost
        sizes = [first, ...(this.sizes[rows - first - 1] as number[])]
      }
      best.push(least)
      this.sizes.push(sizes.sort((a, b) => b - a))
    }
  }

  /** Sizes of the batches for so many rows; their sum is `rows`. */
  of(rows: number): readonly number[] {
    return this.sizes[rows - 1] ?? [rows]
  }

  /** Divides `items`, one row each. */
  divide<T>(items: readonly T[]): T[][] {
    let at = 0
    return this.of(items.length).map(size => {
      const batch = items.slice(at, at + size)
      at += size
      return batch
    })
  }
}
