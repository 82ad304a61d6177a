/** A point that was observed. */
interface Point {
  x: number
  y: number
}

/**
 * A line through observations, none of which can move it far: the median of all slopes between two points
 * (Theil-Sen, sound until 29 % of the points are wrong). Keeps the newest points, so that it follows a machine that
 * gets slower or faster. Neither slope nor intercept is ever negative.
 */
export class RobustLine {
  readonly #points: Point[] = []
  readonly #capacity: number
  #next = 0
  #fit: { slope: number; intercept: number } | null = null

  constructor(capacity = 48) {
    this.#capacity = capacity
  }

  get samples(): number {
    return this.#points.length
  }

  add(x: number, y: number): void {
    if (!Number.isFinite(x) || !Number.isFinite(y) || y < 0) return
    this.#points[this.#next] = { x, y }
    this.#next = (this.#next + 1) % this.#capacity
    this.#fit = null
  }

  /** Null as long as nothing was observed. */
  fit(): { slope: number; intercept: number } | null {
    if (this.#points.length === 0) return null
    this.#fit ??= this.#compute()
    return this.#fit
  }

  at(x: number): number | null {
    const fit = this.fit()
    return fit && fit.intercept + fit.slope * x
  }

  #compute(): { slope: number; intercept: number } {
    const slopes: number[] = []
    const points = this.#points
    const xs = points.map(point => point.x)
    // Points at nearly the same place say nothing about the slope.
    const apart = (Math.max(...xs) - Math.min(...xs)) * 0.1
    for (let i = 0; i < points.length; i++) {
      for (let j = i + 1; j < points.length; j++) {
        const dx = points[j]!.x - points[i]!.x
        if (dx !== 0 && Math.abs(dx) >= apart) slopes.push((points[j]!.y - points[i]!.y) / dx)
      }
    }
    const slope = slopes.length > 0 ? Math.max(0, median(slopes)) : 0
    const intercept = Math.max(0, median(points.map(({ x, y }) => y - slope * x)))
    return { slope, intercept }
  }
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
