import type { Clock } from './clock.js'

/** Between getting the engine and sending it a request lies the rendering of a template: the model is not unloaded. */
const grantMs = 2000

/** Who uses a model: requests in flight, callers about to send one, callers that wait for it. */
export class Usage {
  readonly #clock: Clock
  readonly #onRest: () => void
  #active = 0
  #waiting = 0
  /** Each function takes one grant back. */
  readonly #grants: Array<() => void> = []
  #lastUsed: number
  #idleListeners: Array<() => void> = []

  /** @param onRest called when nobody uses it any more */
  constructor(clock: Clock, onRest: () => void) {
    this.#clock = clock
    this.#onRest = onRest
    this.#lastUsed = clock.now()
  }

  /** Requests in flight. */
  get active(): number {
    return this.#active
  }

  get waiting(): number {
    return this.#waiting
  }

  get inUse(): boolean {
    return this.#active + this.#grants.length + this.#waiting > 0
  }

  /** Clock time at which somebody last asked for it, or was served. */
  get lastUsed(): number {
    return this.#lastUsed
  }

  /** Milliseconds for which nobody has used it; 0 while somebody does. */
  get idleMs(): number {
    return this.inUse ? 0 : this.#clock.now() - this.#lastUsed
  }

  touch(): void {
    this.#lastUsed = this.#clock.now()
  }

  /** A request begins; it takes up the oldest grant. */
  begin(): void {
    this.#active++
    this.#grants.shift()?.()
  }

  end(): void {
    this.#active--
    this.#look()
  }

  /** Counts a caller as waiting while `work` is under way, and gives it a grant when that succeeds. */
  async during(work: Promise<void>): Promise<void> {
    this.#waiting++
    try {
      await work
      this.grant()
    } finally {
      this.#waiting--
      this.#look()
    }
  }

  /** A caller has the engine, and will send a request. */
  grant(): void {
    let cancel = () => {}
    const take = () => {
      cancel()
      const at = this.#grants.indexOf(take)
      if (at >= 0) this.#grants.splice(at, 1)
    }
    cancel = this.#clock.after(grantMs, () => {
      take()
      this.#look()
    })
    this.#grants.push(take)
  }

  /** Nobody's request is expected any more. */
  revokeGrants(): void {
    for (const take of [...this.#grants]) take()
    this.#look()
  }

  /** Resolves when no request is in flight, and nobody is about to send one. */
  idle(): Promise<void> {
    if (this.#active + this.#grants.length === 0) return Promise.resolve()
    return new Promise(resolve => this.#idleListeners.push(resolve))
  }

  #look(): void {
    if (this.#active + this.#grants.length > 0) return
    for (const listener of this.#idleListeners.splice(0)) listener()
    if (this.inUse) return
    this.touch()
    this.#onRest()
  }
}
