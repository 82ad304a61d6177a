export interface BreakerOptions {
  /** Failures in a row that open the breaker. */
  failures: number
  /** How long it stays open before one probe is let through, milliseconds. */
  openMs: number
}

export const defaultBreaker: BreakerOptions = { failures: 5, openMs: 60_000 }

export type BreakerState = 'closed' | 'open' | 'half_open'

/**
 * A circuit breaker: after some failures in a row nothing is tried for a while, then one probe decides.
 *
 *     closed --failures--> open --openMs, attempt--> half_open --success--> closed
 *                           ^                            |
 *                           +----------- failure --------+
 */
export class CircuitBreaker {
  readonly #options: BreakerOptions
  readonly #now: () => number
  readonly #onChange: (from: BreakerState, to: BreakerState) => void
  #state: BreakerState = 'closed'
  #failures = 0
  #openUntil = 0

  constructor(
    options: Partial<BreakerOptions>,
    now: () => number,
    onChange: (from: BreakerState, to: BreakerState) => void = () => {}
  ) {
    this.#options = { ...defaultBreaker, ...options }
    this.#now = now
    this.#onChange = onChange
  }

  get state(): BreakerState {
    return this.#state
  }

  get openMs(): number {
    return this.#options.openMs
  }

  /** Milliseconds until an attempt may be let through; 0 unless open. */
  get retryAfterMs(): number {
    return this.#state === 'open' ? Math.max(0, this.#openUntil - this.#now()) : 0
  }

  /** Asks to try. While half open the probe under way is the only attempt. Each true is owed one of the verbs below. */
  attempt(): boolean {
    if (this.#state === 'closed') return true
    if (this.#state === 'half_open' || this.retryAfterMs > 0) return false
    this.#become('half_open')
    return true
  }

  success(): void {
    if (this.#state === 'open') return
    this.#failures = 0
    this.#become('closed')
  }

  failure(): void {
    if (this.#state === 'open') return
    this.#failures++
    if (this.#state === 'closed' && this.#failures < this.#options.failures) return
    this.#openUntil = this.#now() + this.#options.openMs
    this.#become('open')
  }

  /** The attempt was called off and says nothing; a probe's turn goes to the next who asks. */
  abandon(): void {
    if (this.#state === 'half_open') this.#become('open')
  }

  #become(state: BreakerState): void {
    const from = this.#state
    if (from === state) return
    this.#state = state
    this.#onChange(from, state)
  }
}
