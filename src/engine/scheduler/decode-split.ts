/** A split must save at least this part of the time: measurements waver. */
const LEAST_GAIN = 0.04
/** Rows that could be with others may be decoded apart for another reason if that costs at most this part of them. */
const SMALL_PRICE = 1 / 3

/**
 * Into how many batches a few running streams' rows are best divided. Usually one; but kernels made for many rows can be
 * slow with few: on an x64 CPU with q8_0 weights two rows take as long as four and three times as long as one
 * (docs/performance.md), so that four streams are faster one by one.
 */
export class DecodeSplit {
  /** For 1, 2, 3, ... rows: sizes of the batches. */
  private readonly sizes: number[][] = []
  /** For 0, 1, 2, ... rows: what those cost together. */
  private readonly best: number[] = [0]

  /** @param costs milliseconds of a batch of 1, 2, 3, ... rows. More rows than that stay together. */
  constructor(costs: readonly number[]) {
    const { best } = this
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

  /** Whether so many rows may be decoded apart from so many others, where there is a reason for it. */
  mayPart(some: number, others: number): boolean {
    const known = this.best.length - 1
    const [few, many] = some < others ? [some, others] : [others, some]
    if (few > known) return false
    return (this.best[few] as number) <= SMALL_PRICE * (this.best[Math.min(many, known)] as number)
  }

  /** Divides `items`, one row each. */
  divide<T>(items: readonly T[]): T[][] {
    if (items.length === 0) return []
    let at = 0
    return this.of(items.length).map(size => {
      const batch = items.slice(at, at + size)
      at += size
      return batch
    })
  }
}
