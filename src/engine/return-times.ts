/** A client is never told to come back sooner or later than this, milliseconds. */
const BOUNDS = { least: 500, most: 60_000 }

/** Weight of the newest measurement in the drain rate. */
const SMOOTHING = 0.2

/** When those who are refused may come back, from the rate at which requests finish. */
export class ReturnTimes {
  private msPerFinish: number | null = null
  private lastFinish: number | null = null
  /** The moment that the last refused request was told. */
  private nextReturn = Number.NEGATIVE_INFINITY

  constructor(private readonly now: () => number) {}

  /** A request has finished. */
  onFinish(): void {
    const now = this.now()
    if (this.lastFinish !== null) {
      const gap = now - this.lastFinish
      this.msPerFinish =
        this.msPerFinish === null ? gap : this.msPerFinish + SMOOTHING * (gap - this.msPerFinish)
    }
    this.lastFinish = now
  }

  /** Nobody is here: the time until somebody comes says nothing about how fast requests finish. */
  onIdle(): void {
    this.lastFinish = null
  }

  /** Somebody else has told the last one who was refused to come back in so many milliseconds. */
  told(ms: number): void {
    this.nextReturn = Math.max(this.nextReturn, this.now() + ms)
  }

  /**
   * When a refused request may try again, milliseconds from now. Each is given a moment of its own, one finished request
   * after the last one's: who obeys finds room, and not everybody who was refused with him.
   * @param waiting how many are in the queue.
   */
  comeBack(waiting: number): number {
    const now = this.now()
    const at = Math.max(now + this.halfDrained(waiting), this.nextReturn + (this.msPerFinish ?? 0))
    this.nextReturn = Math.min(at, now + BOUNDS.most)
    return Math.round(this.nextReturn - now)
  }

  /** When half of the queue will have drained, by the rate at which requests finish now. Milliseconds from now. */
  halfDrained(waiting: number): number {
    const ahead = Math.max(1, waiting / 2)
    return Math.round(Math.min(BOUNDS.most, Math.max(BOUNDS.least, (this.msPerFinish ?? 1000) * ahead)))
  }
}
