import type { Capabilities, ModelInfo } from '../engine/backend.js'
import type { EngineConfig, EngineStats, LoadFailure } from '../engine/messages.js'
import { Backoff } from './backoff.js'
import { type BreakerState, CircuitBreaker } from './breaker.js'
import { bringUp, StallWatch } from './bring-up.js'
import { type Clock, systemClock } from './clock.js'
import { type DrainResult, EngineClient, type Ready } from './engine-client.js'
import { describeExit, type EngineExit } from './engine-process.js'
import { endedByItself, startFailure } from './failures.js'
import { fileSignature } from './file-signature.js'
import { Outage } from './outage.js'
import { type Bounds, defaultBounds, type ModelSpec, type SupervisorOptions } from './supervisor-options.js'
import { type Engine, type ModelState, ModelUnavailableError } from './types.js'
import { Waiters } from './waiters.js'

/**
 * A model whose engine process is started when somebody asks for it, watched, and started again when it dies.
 *
 *     unloaded --engine()--> loading --token generated--> ready --drain()--> draining --> unloaded
 *                            ^     |                        |
 *                 pause over |     v failure                | process ended
 *                            +-- failed <-------------------+
 */
export class SupervisedModel {
  readonly id: string
  readonly #options: SupervisorOptions
  readonly #bounds: Bounds
  readonly #clock: Clock
  readonly #backoff: Backoff
  readonly #breaker: CircuitBreaker
  readonly #spec: ModelSpec
  #running: EngineConfig | null = null
  #state: ModelState = 'unloaded'
  #progress = 0
  readonly #outage = new Outage()
  #info: ModelInfo | null = null
  #capabilities: Capabilities | null = null
  #stats: EngineStats | null = null
  #restarts = 0
  #client: EngineClient | null = null
  /** Settles when the process before the current one has ended: two never hold the memory of one model. */
  #previousEnded: Promise<unknown> = Promise.resolve()
  /** Which start is the current one; an older one that comes back has nothing to say. */
  #attempt = 0
  #readySince = 0
  readonly #waiters = new Waiters()
  #cancelRestart: () => void = () => {}
  #draining: Promise<DrainResult> | null = null
  #drainUntil = 0
  #closed = false

  constructor(spec: ModelSpec, options: SupervisorOptions) {
    this.id = spec.id
    this.#spec = spec
    this.#options = options
    this.#bounds = { ...defaultBounds, ...options.bounds }
    this.#clock = options.clock ?? systemClock
    this.#backoff = new Backoff(options.backoff)
    this.#breaker = new CircuitBreaker(
      options.breaker ?? {},
      () => this.#clock.now(),
      (from, to) => {
        options.logger.warn({ model: this.id, from, to }, 'circuit breaker')
        options.events.emit('breaker', { model: this, from, to })
      }
    )
  }

  get state(): ModelState {
    return this.#state
  }

  get progress(): number {
    return this.#progress
  }

  get failure(): LoadFailure | null {
    return this.#outage.failure
  }

  get info(): ModelInfo | null {
    return this.#info
  }

  get capabilities(): Capabilities | null {
    return this.#capabilities
  }

  get stats(): EngineStats | null {
    return this.#stats
  }

  get restarts(): number {
    return this.#restarts
  }

  get breaker(): BreakerState {
    return this.#breaker.state
  }

  /** As the engine really runs; null before it was first loaded. */
  get config(): EngineConfig | null {
    return this.#running
  }

  /** A start is planned, or under way: it takes memory, or will. */
  get restarting(): boolean {
    return this.#state === 'loading' || (this.#state === 'failed' && this.#outage.advice === 'soon')
  }

  /** Of the engine process; undefined when there is none. */
  get pid(): number | undefined {
    return this.#client?.pid
  }

  /** The engine, where it can be had at once. */
  get current(): Engine | null {
    return this.#state === 'ready' ? this.#client : null
  }

  /**
   * The engine; all callers share one start of it.
   * @throws ModelUnavailableError
   */
  async engine(): Promise<Engine> {
    if (this.#state === 'failed') await this.assertAvailable()
    if (this.#state === 'failed' && this.#outage.advice === 'soon') return this.#join()
    return this.load()
  }

  /** @throws ModelUnavailableError where `engine()` would refuse without trying */
  async assertAvailable(): Promise<void> {
    if (this.#state !== 'failed') return
    await this.#outage.assertWorthTrying(this.#spec.file, this.#clock.now(), this.#bounds.patienceMs)
  }

  /**
   * Like `engine()`, but does not wait for a pause to be over, nor for a file that failed to change.
   * @throws ModelUnavailableError
   */
  async load(): Promise<Engine> {
    if (this.#state === 'ready' && this.#client !== null) return this.#client
    if (this.#closed || this.#state === 'draining') throw this.#refusal()
    if (this.#state === 'loading') return this.#join()
    if (this.#breaker.retryAfterMs > 0) throw this.#outage.refusal(this.#breaker.retryAfterMs)
    const joined = this.#join()
    this.#start()
    return joined
  }

  /**
   * Refuses new work, lets running work finish until the timeout, ends the engine process. The model can be loaded
   * again afterwards. Never rejects.
   */
  drain(options: { timeoutMs: number }): Promise<DrainResult> {
    this.#draining ??= this.#drain(options).finally(() => {
      this.#draining = null
    })
    return this.#draining
  }

  /** Drains, and never loads again. */
  close(options: { timeoutMs: number }): Promise<DrainResult> {
    this.#closed = true
    return this.drain(options)
  }

  #start(): void {
    this.#cancelRestart()
    if (!this.#breaker.attempt()) {
      this.#restartAfter(this.#breaker.retryAfterMs)
      return
    }
    const { failure } = this.#outage
    if (failure !== null && endedByItself(failure)) this.#restarts++
    this.#progress = 0
    this.#become('loading')
    void this.#bringUp(++this.#attempt)
  }

  async #bringUp(attempt: number): Promise<void> {
    const file = fileSignature(this.#spec.file)
    await this.#previousEnded
    if (attempt !== this.#attempt) return
    let watch: StallWatch | undefined
    try {
      const client = this.#launch(() => watch?.touch())
      watch = new StallWatch(this.#clock, this.#bounds.loadStallMs, () => client.kill())
      const ready = await bringUp(client, watch, (ok, ms) =>
        this.#options.events.emit('verified', { model: this, ok, ms })
      )
      if (attempt === this.#attempt) this.#onReady(client, ready)
    } catch (error) {
      this.#outage.blame(await file)
      if (attempt !== this.#attempt) return
      this.#client = null
      this.#stats = null
      this.#onFailure(startFailure(error))
    }
  }

  #launch(onSignOfLife: () => void): EngineClient {
    const { entry, logger, events } = this.#options
    const client: EngineClient = new EngineClient({
      entry,
      logger,
      config: this.#spec.config(),
      clock: this.#clock,
      bounds: this.#bounds,
      onProgress: fraction => {
        onSignOfLife()
        this.#progress = fraction
        events.emit('progress', { model: this, fraction })
      },
      onStats: stats => {
        this.#stats = stats
        events.emit('stats', { model: this, stats })
      },
      onGone: () => this.#onGone(client)
    })
    this.#client = client
    this.#previousEnded = client.ended
    return client
  }

  #onReady(client: EngineClient, ready: Ready): void {
    this.#info = ready.info
    this.#capabilities = ready.capabilities
    this.#running = ready.config
    this.#outage.end()
    this.#progress = 1
    this.#readySince = this.#clock.now()
    // A closed breaker keeps its count until the engine has been healthy for a while: a crash on every request counts.
    if (this.#breaker.state === 'half_open') this.#breaker.success()
    this.#become('ready')
    this.#waiters.resolve(client)
    // It may have died in the turn in which it proved itself.
    if (client.gone) this.#onGone(client)
  }

  #onGone(client: EngineClient): void {
    // While loading `bringUp` tells the failure, while draining there is nothing to restart.
    if (client !== this.#client || this.#state !== 'ready') return
    this.#client = null
    this.#stats = null
    if (this.#clock.now() - this.#readySince >= this.#bounds.healthyMs) {
      this.#backoff.reset()
      this.#breaker.success()
    }
    const failure =
      client.stuck === null
        ? { code: 'engine_crashed', message: 'the engine process ended' }
        : { code: 'engine_stuck', message: client.stuck }
    void client.ended.then(exit => this.#explain(failure, exit))
    this.#onFailure(failure)
  }

  /** What the process left behind is known a moment after its end. */
  #explain(failure: LoadFailure, exit: EngineExit): void {
    const message =
      failure.code === 'engine_stuck' ? failure.message : `the engine process ${describeExit(exit)}`
    this.#outage.explain(failure, message)
    this.#options.logger.error({ model: this.id, ...exit }, message)
    this.#options.events.emit('died', { model: this, exit })
  }

  #onFailure(failure: LoadFailure): void {
    const now = this.#clock.now()
    const advice = this.#outage.begin(failure, now)
    this.#breaker.failure()
    this.#become('failed')
    if (advice === 'soon') {
      const open = this.#breaker.state === 'open'
      this.#restartAfter(open ? this.#breaker.retryAfterMs : this.#backoff.next())
      return
    }
    const waitMs = advice === 'never' ? null : this.#breaker.openMs
    this.#outage.pauseUntil(now + (waitMs ?? 0))
    this.#waiters.reject(this.#outage.refusal(waitMs))
  }

  #restartAfter(delayMs: number): void {
    const at = this.#clock.now() + delayMs
    this.#outage.restartsAt(at)
    this.#options.events.emit('restart', { model: this, delayMs, failure: this.#outage.failure! })
    const { since } = this.#waiters
    if (since !== null && at - since > this.#bounds.patienceMs) {
      this.#waiters.reject(this.#outage.refusal(delayMs))
    }
    if (delayMs === 0) this.#start()
    else this.#cancelRestart = this.#clock.after(delayMs, () => this.#start())
  }

  async #drain({ timeoutMs }: { timeoutMs: number }): Promise<DrainResult> {
    const wasReady = this.#state === 'ready'
    const client = this.#client
    this.#attempt++
    this.#cancelRestart()
    this.#breaker.abandon()
    this.#drainUntil = this.#clock.now() + timeoutMs
    if (this.#state !== 'unloaded') this.#become('draining')
    this.#waiters.reject(this.#refusal())
    let result: DrainResult = { finished: 0, aborted: 0, spilledBytes: 0 }
    if (client !== null && wasReady) result = await client.drain({ timeoutMs })
    else client?.kill()
    await this.#previousEnded
    this.#client = null
    this.#stats = null
    this.#outage.end()
    this.#progress = 0
    this.#become('unloaded')
    return result
  }

  #become(state: ModelState): void {
    const from = this.#state
    if (from === state) return
    this.#state = state
    const { failure } = this.#outage
    const { logger, events } = this.#options
    if (state === 'failed') logger.warn({ model: this.id, from, to: state, failure }, failure?.message)
    else logger.info({ model: this.id, from, to: state }, `model ${state}`)
    events.emit('state', { model: this, from, to: state, failure })
  }

  #join(): Promise<Engine> {
    return this.#waiters.join(this.#clock.now())
  }

  #refusal(): ModelUnavailableError {
    const failure = { code: 'draining', message: 'the model is being unloaded' }
    return new ModelUnavailableError(failure, Math.max(1000, Math.ceil(this.#drainUntil - this.#clock.now())))
  }
}
