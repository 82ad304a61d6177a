/** Next tokens take at most this part of a prompt's time, unless the gap between them would grow beyond the target. */
const SHARE = 1 / 10
/** No stream needs its next token sooner than this, milliseconds. */
const LEAST_GAP = 25

/** When running streams get their next tokens while prompts are being computed. */
export class Cadence {
  private lastAt = Number.NEGATIVE_INFINITY
  private took = 0

  /** @param targetMs longest gap between two tokens of a stream. */
  constructor(
    private readonly targetMs: number,
    private readonly now: () => number
  ) {}

  /** Milliseconds until the next ones are due; 0: they are. */
  get wait(): number {
    const gap = Math.min(this.targetMs, Math.max(LEAST_GAP, this.took / SHARE))
    return Math.max(0, this.lastAt + gap - this.now())
  }

  /** All running streams have got, or are getting, their next tokens. */
  given(): void {
    this.lastAt = this.now()
  }

  /** The same, and that took so many milliseconds. */
  gave(ms: number): void {
    this.took = ms
    this.given()
  }
}
