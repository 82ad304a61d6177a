import type { Clock } from './clock.js'

export interface WatchdogOptions {
  clock: Clock
  /** No message for this long, while somebody waits for the engine: the process is frozen. Milliseconds. */
  heartbeatMs: number
  /** No step for this long, while a request is being computed: it is stuck in one. Milliseconds; 0: no limit. */
  stepMs: number
  /** Asks the process for its statistics; the answer comes as `message` and `steps`. */
  ping(): void
  /** Requests that have started and are not paused: each step must bring one of them on. */
  computing(): boolean
  onStuck(reason: string): void
}

/** Looks per heartbeat: a pause of the whole machine (a closed lid) counts as one of them, and no process is ended. */
const looks = 5

/**
 * Tells an engine process that is stuck from one that is busy. Its event loop turns during a step, so it answers at any
 * time; and a step that does not end shows in a count of steps that stands still.
 */
export class Watchdog {
  readonly #options: WatchdogOptions
  readonly #everyMs: number
  #cancel: (() => void) | null = null
  #silentLooks = 0
  #stillMs = 0
  #steps = -1
  #pinged = false
  #stopped = false

  constructor(options: WatchdogOptions) {
    this.#options = options
    const bound = options.stepMs > 0 ? Math.min(options.heartbeatMs, options.stepMs) : options.heartbeatMs
    this.#everyMs = bound / looks
  }

  /** Somebody waits for the engine: begins to look, if it does not already. */
  wake(): void {
    if (this.#stopped || this.#cancel !== null) return
    this.#silentLooks = 0
    this.#stillMs = 0
    this.#arm()
  }

  /** A message came, whatever it says. */
  message(): void {
    this.#silentLooks = 0
    this.#pinged = false
  }

  /** A step is known to have ended. */
  step(): void {
    this.#stillMs = 0
  }

  /** The process's count of steps. */
  steps(count: number): void {
    if (count !== this.#steps) this.step()
    this.#steps = count
  }

  /** Nobody waits any more. */
  rest(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  stop(): void {
    this.#stopped = true
    this.rest()
  }

  #arm(): void {
    this.#cancel = this.#options.clock.after(this.#everyMs, () => this.#look())
  }

  #look(): void {
    this.#cancel = null
    const { computing, ping, onStuck, heartbeatMs, stepMs } = this.#options
    this.#silentLooks++
    this.#stillMs = computing() ? this.#stillMs + this.#everyMs : 0
    if (this.#silentLooks * this.#everyMs > heartbeatMs) {
      onStuck(`the engine process did not answer for ${seconds(heartbeatMs)} s, and was ended`)
    } else if (stepMs > 0 && this.#stillMs > stepMs) {
      onStuck(`the engine was stuck in one step for ${seconds(stepMs)} s, and was ended`)
    } else {
      this.#arm()
      if (!this.#pinged) {
        this.#pinged = true
        ping()
      }
    }
  }
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10
}
