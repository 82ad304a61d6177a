import type { Engine } from './types.js'

/** Everybody who waits for the same start of an engine: one promise, made when the first one asks. */
export class Waiters {
  #promise: Promise<Engine> | null = null
  #resolve!: (engine: Engine) => void
  #reject!: (error: Error) => void
  #since = 0

  /** Clock time at which the first of them asked; null when nobody waits. */
  get since(): number | null {
    return this.#promise === null ? null : this.#since
  }

  join(now: number): Promise<Engine> {
    if (this.#promise === null) {
      this.#since = now
      this.#promise = new Promise((resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
      })
    }
    return this.#promise
  }

  resolve(engine: Engine): void {
    if (this.#promise === null) return
    this.#promise = null
    this.#resolve(engine)
  }

  reject(error: Error): void {
    if (this.#promise === null) return
    this.#promise = null
    this.#reject(error)
  }
}
