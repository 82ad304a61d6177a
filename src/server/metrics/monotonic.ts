import type { HistogramSnapshot } from '../../engine/histogram.js'

/** A counter of a process that may be started again: what it had counted before it went is kept. */
export class Monotonic {
  #before = 0
  #current = 0

  get total(): number {
    return this.#before + this.#current
  }

  /** The counter reads `value` now. A smaller one than last time is that of a new process. */
  read(value: number): void {
    if (value < this.#current) this.#before += this.#current
    this.#current = value
  }

  /** Whatever is read next is counted from 0. */
  restarted(): void {
    this.#before += this.#current
    this.#current = 0
  }
}

/** The same for a histogram. */
export class MonotonicHistogram {
  #bounds: number[] = []
  #counts: Monotonic[] = []
  readonly #sum = new Monotonic()
  #observations = 0

  /** null before anything was read. */
  get total(): HistogramSnapshot | null {
    if (this.#counts.length === 0) return null
    return {
      bounds: this.#bounds,
      counts: this.#counts.map(count => count.total),
      sum: this.#sum.total
    }
  }

  read(histogram: HistogramSnapshot): void {
    const observations = histogram.counts.reduce((sum, count) => sum + count, 0)
    if (observations < this.#observations) this.restarted()
    this.#observations = observations
    if (this.#counts.length === 0) {
      this.#bounds = histogram.bounds
      this.#counts = histogram.counts.map(() => new Monotonic())
    }
    for (const [i, count] of this.#counts.entries()) count.read(histogram.counts[i] ?? 0)
    this.#sum.read(histogram.sum)
  }

  restarted(): void {
    this.#observations = 0
    for (const count of this.#counts) count.restarted()
    this.#sum.restarted()
  }
}
