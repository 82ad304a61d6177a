import { statSync } from 'node:fs'
import type { Capabilities, ModelInfo } from '../engine/backend.js'
import type { EngineConfig, EngineStats, LoadFailure } from '../engine/messages.js'
import type { VocabularyService } from '../vocabulary/service.js'
import type { BreakerState } from './breaker.js'
import { CachedPlan } from './cached-plan.js'
import { type Clock, systemClock } from './clock.js'
import type { DrainResult } from './engine-client.js'
import { fileSignature } from './file-signature.js'
import { Gate } from './gate.js'
import type { HostingTimes, ModelOptions } from './hosting-options.js'
import type { LoadTimes } from './load-times.js'
import type { Residency, Resident } from './residency.js'
import { SteadyEngine } from './steady-engine.js'
import { SupervisedModel } from './supervisor.js'
import type { SupervisorOptions } from './supervisor-options.js'
import {
  type Engine,
  type LoadStatus,
  type Model,
  type ModelState,
  ModelUnavailableError,
  type Vocabulary
} from './types.js'
import { Usage } from './usage.js'
import { openVocabulary } from './vocabulary.js'

/** What a request in flight may take when its model is unloaded under it, which only happens in a race. */
const evictMs = 30_000

/**
 * A model that can be asked for by name: loaded when somebody needs it and memory allows, unloaded when it is idle or
 * others need its memory. Who needs it while it goes waits until it is back.
 */
export class HostedModel implements Model, Resident {
  readonly id: string
  readonly created: number
  readonly pinned: boolean
  readonly file: string
  /** Set by the registry: names move between models. */
  aliases: readonly string[] = []
  readonly #options: ModelOptions
  readonly #supervised: SupervisedModel
  readonly #steady: SteadyEngine
  readonly #residency: Residency
  readonly #loadTimes: LoadTimes
  readonly #times: HostingTimes
  readonly #vocabularies: VocabularyService
  readonly #clock: Clock
  readonly #usage: Usage
  readonly #fileBytes: number
  readonly #plan: CachedPlan
  #admission: Promise<void> | null = null
  #unloading: Promise<DrainResult> | null = null
  readonly #gate = new Gate()
  #loadingSince = 0
  /** What was at the file's path when it was last loaded. */
  #loadedFile = ''
  #onDemand = false
  #closed = false
  #cancelTtl: () => void = () => {}

  constructor(
    options: ModelOptions,
    supervision: SupervisorOptions,
    shared: {
      residency: Residency
      loadTimes: LoadTimes
      times: HostingTimes
      vocabularies: VocabularyService
    }
  ) {
    this.id = options.id
    this.file = options.file
    this.pinned = options.pinned ?? false
    this.#options = options
    this.#residency = shared.residency
    this.#loadTimes = shared.loadTimes
    this.#times = shared.times
    this.#vocabularies = shared.vocabularies
    this.#clock = supervision.clock ?? systemClock
    this.#usage = new Usage(this.#clock, () => {
      this.#armTtl()
      this.#residency.touched()
    })
    const file = statSync(options.file, { throwIfNoEntry: false })
    this.created = Math.floor((file?.mtimeMs ?? Date.now()) / 1000)
    this.#fileBytes = file?.size ?? 0
    this.#plan = new CachedPlan(() => options.plan(), this.#fileBytes)
    const spec = { id: options.id, file: options.file, config: () => this.#plan.get().config }
    this.#supervised = new SupervisedModel(spec, supervision)
    supervision.events.on('state', ({ model, from, to }) => {
      if (model === this.#supervised) this.#onState(from, to)
    })
    this.#steady = new SteadyEngine({
      clock: this.#clock,
      current: () => this.#supervised.current,
      acquire: () => this.#acquire(),
      closed: () => this.#closed,
      onStart: () => this.#usage.begin(),
      onEnd: () => this.#usage.end()
    })
  }

  get state(): ModelState {
    const { state } = this.#supervised
    return state === 'unloaded' && this.#admission !== null ? 'loading' : state
  }

  get progress(): number {
    return this.#supervised.progress
  }

  get loading(): LoadStatus | null {
    const { state, restarting } = this.#supervised
    const estimatedMs = this.#loadTimes.estimate(this.id, this.#fileBytes)
    if (this.#gate.isClosed) return { state: 'waiting', progress: 0, estimatedMs }
    if (state === 'loading') {
      const spent = this.#clock.now() - this.#loadingSince
      // One that has taken longer than was thought will take some more.
      const left = Math.max(estimatedMs - spent, spent / 10)
      return { state, progress: this.progress, estimatedMs: Math.round(left) }
    }
    if (state === 'failed' && restarting) return { state: 'restarting', progress: 0, estimatedMs }
    const coming = this.#admission !== null || this.#usage.waiting > 0
    return coming && state !== 'ready' ? { state: 'waiting', progress: 0, estimatedMs } : null
  }

  get failure(): LoadFailure | null {
    return this.#supervised.failure
  }

  get info(): ModelInfo | null {
    return this.#supervised.info
  }

  get capabilities(): Capabilities | null {
    return this.#supervised.capabilities
  }

  get stats(): EngineStats | null {
    return this.#supervised.stats
  }

  get restarts(): number {
    return this.#supervised.restarts
  }

  get breaker(): BreakerState {
    return this.#supervised.breaker
  }

  get full(): boolean {
    return this.#supervised.current?.full === true
  }

  /** Of the engine process; undefined when there is none. */
  get pid(): number | undefined {
    return this.#supervised.pid
  }

  /** As the engine really runs; null before it was first loaded. */
  get config(): EngineConfig | null {
    return this.#supervised.config
  }

  get inUse(): boolean {
    return this.#usage.inUse
  }

  /** Requests in flight. */
  get active(): number {
    return this.#usage.active
  }

  get lastUsed(): number {
    return this.#usage.lastUsed
  }

  /** Milliseconds for which nobody has used it; 0 while somebody does. */
  get idleMs(): number {
    return this.#usage.idleMs
  }

  /** Whether it is loaded and serves. */
  get isReady(): boolean {
    return this.#supervised.current !== null
  }

  /** @throws ModelUnavailableError when the file cannot be read, or does not say what it takes */
  assertReadable(): void {
    this.#plan.assertReadable()
  }

  /** Bytes it takes, or would take, when loaded; the size of its file when that cannot be told. */
  bytes(): number {
    return this.#plan.bytes()
  }

  async engine(): Promise<Engine> {
    if (this.#supervised.state === 'unloaded') this.#onDemand = true
    this.#used()
    if (this.#supervised.current === null || this.#gate.isClosed) {
      await this.#usage.during(this.#inTime(this.#ready({ gated: true, insist: false })))
    } else this.#usage.grant()
    return this.#steady
  }

  async vocabulary(): Promise<Vocabulary | null> {
    if (this.#closed) return null
    await this.#supervised.assertAvailable()
    const known = (await fileSignature(this.file)) === this.#loadedFile ? this.info : null
    try {
      return await openVocabulary(this.#vocabularies, this.#plan.get().config, known)
    } catch {
      // A file that cannot be read: the load says what is wrong with it.
      return null
    }
  }

  /**
   * Loads it now, also after a failure that `engine()` would not try again, and while new requests are held back.
   * @throws ModelUnavailableError
   */
  async load(): Promise<void> {
    this.#onDemand = false
    this.#used()
    if (this.#supervised.current === null) {
      await this.#usage.during(this.#inTime(this.#ready({ gated: false, insist: true })))
    } else this.#armTtl()
  }

  /** Forgets every cached prefix that no request uses. */
  clearCache(): Promise<{ freedCells: number }> {
    return this.#steady.call('clearCache', null)
  }

  /** Ends the engine; whoever asks afterwards has it loaded again. Requests in flight may finish until the timeout. */
  unload(options: { timeoutMs: number }): Promise<DrainResult> {
    this.#cancelTtl()
    this.#unloading ??= this.#supervised.drain(options).finally(() => {
      this.#unloading = null
      this.#plan.forget()
    })
    return this.#unloading
  }

  evict(): Promise<DrainResult> {
    return this.unload({ timeoutMs: evictMs })
  }

  /** Unloads it as `unload`, for good. */
  close(options: { timeoutMs: number }): Promise<DrainResult> {
    this.#closed = true
    this.#cancelTtl()
    this.#usage.revokeGrants()
    return this.#supervised.close(options)
  }

  /** Whoever asks from now on waits until the returned function is called. Requests in flight go on. */
  hold(): () => void {
    return this.#gate.close()
  }

  /**
   * Resolves when nobody holds new requests back.
   * @throws ModelUnavailableError model_load_timeout
   */
  async opened(): Promise<void> {
    if (this.#gate.isClosed) await this.#inTime(this.#gate.opened())
  }

  get isHeld(): boolean {
    return this.#gate.isClosed
  }

  /** Resolves when no request is in flight, and nobody is about to send one. */
  idle(): Promise<void> {
    return this.#usage.idle()
  }

  /** For a request that lost its engine. It is work in flight: nothing holds it back. */
  async #acquire(): Promise<Engine> {
    await this.#inTime(this.#ready({ gated: false, insist: false }))
    return this.#supervised.current ?? this.#supervised.engine()
  }

  #used(): void {
    this.#usage.touch()
    this.#cancelTtl()
  }

  /** Through every reason to wait, until the engine is there. */
  async #ready({ gated, insist }: { gated: boolean; insist: boolean }): Promise<void> {
    for (;;) {
      if (this.#closed) throw closing()
      if (gated && this.#gate.isClosed) await this.#gate.opened()
      else if (this.#unloading !== null) await this.#unloading
      else if (this.#supervised.current !== null) return
      else {
        if (!insist) await this.#supervised.assertAvailable()
        await this.#admit()
        // Other things may have happened while memory was waited for.
        if (this.#closed || this.#unloading !== null || !this.#residency.holds(this)) continue
        await this.#start(insist)
        return
      }
    }
  }

  async #start(insist: boolean): Promise<void> {
    try {
      await (insist ? this.#supervised.load() : this.#supervised.engine())
    } catch (error) {
      const code = error instanceof ModelUnavailableError ? error.failure.code : ''
      if (code === 'out_of_memory' && (await this.#residency.makeRoom(this))) {
        await this.#admit()
        return this.#start(true)
      }
      if (this.#supervised.state !== 'ready' && !this.#supervised.restarting) this.#residency.release(this)
      throw error
    }
  }

  #admit(): Promise<void> {
    this.#admission ??= this.#residency.admit(this).finally(() => {
      this.#admission = null
    })
    return this.#admission
  }

  #onState(from: ModelState, to: ModelState): void {
    if (to === 'loading') {
      this.#loadingSince = this.#clock.now()
      void fileSignature(this.file).then(signature => {
        this.#loadedFile = signature
      })
    } else if (to === 'ready') {
      const ms = this.#clock.now() - this.#loadingSince
      if (from === 'loading') this.#loadTimes.note(this.id, this.#fileBytes, ms)
      this.#armTtl()
    } else if (to === 'unloaded' || (to === 'failed' && !this.#supervised.restarting)) {
      this.#plan.forget()
      this.#residency.release(this)
    }
  }

  #armTtl(): void {
    this.#cancelTtl()
    const { ttlMs, onDemandTtlMs } = this.#times
    const ttl = this.#options.ttlMs ?? (this.#onDemand ? onDemandTtlMs : ttlMs)
    if (ttl === 0 || this.#closed || this.pinned || this.inUse || this.#supervised.current === null) return
    const left = Math.max(0, ttl - this.#usage.idleMs)
    this.#cancelTtl = this.#clock.after(left, () => {
      if (!this.inUse) void this.unload({ timeoutMs: evictMs })
    })
  }

  async #inTime<T>(work: Promise<T>): Promise<T> {
    const { loadTimeoutMs } = this.#times
    let cancel = () => {}
    const late = new Promise<never>((_, reject) => {
      cancel = this.#clock.after(loadTimeoutMs, () => reject(this.#timeout()))
    })
    try {
      return await Promise.race([work, late])
    } finally {
      cancel()
    }
  }

  #timeout(): ModelUnavailableError {
    const seconds = Math.round(this.#times.loadTimeoutMs / 1000)
    const message = `the model ${this.id} was not loaded within ${seconds} s`
    return new ModelUnavailableError(
      { code: 'model_load_timeout', message },
      Math.max(1000, this.loading?.estimatedMs ?? 1000)
    )
  }
}

function closing(): ModelUnavailableError {
  return new ModelUnavailableError({ code: 'draining', message: 'the server is shutting down' }, 1000)
}
