export interface BackoffOptions {
  /** Pause before the second restart in a row (the first is at once), milliseconds. */
  baseMs: number
  /** Each further pause is this many times as long. */
  factor: number
  /** No pause is longer, milliseconds. */
  capMs: number
}

export const defaultBackoff: BackoffOptions = { baseMs: 500, factor: 2, capMs: 30_000 }

/** Pauses between restarts that follow each other: 0, base, base * factor, base * factor^2, ... up to the cap. */
export class Backoff {
  readonly #options: BackoffOptions
  #taken = 0

  constructor(options: Partial<BackoffOptions> = {}) {
    this.#options = { ...defaultBackoff, ...options }
  }

  /** Milliseconds to wait before the next restart. */
  next(): number {
    const { baseMs, factor, capMs } = this.#options
    const taken = this.#taken++
    return taken === 0 ? 0 : Math.min(capMs, baseMs * factor ** (taken - 1))
  }

  /** What was started has proved healthy: the next restart is at once again. */
  reset(): void {
    this.#taken = 0
  }
}
