import { ActiveRequest, type Choice } from './active-request.js'
import { Admission } from './admission.js'
import { AnswerWriter } from './answer-writer.js'
import type { Backend } from './backend.js'
import { BatchRunner } from './batch-runner.js'
import { ConstraintError, ConstraintFailedError } from './constraint/errors.js'
import {
  type CompiledConstraint,
  type ConstraintService,
  createConstraintService
} from './constraint/service.js'
import { Deadlines } from './deadlines.js'
import { drawable } from './drawable.js'
import { checkIntegrity } from './integrity.js'
import type {
  EngineConfig,
  EngineStats,
  FailureCode,
  FromEngine,
  GenerationRequest,
  Verdict
} from './messages.js'
import { Outbox } from './outbox.js'
import { PromptTokenizer } from './prompt.js'
import { Scheduler } from './scheduler/scheduler.js'
import type { Stream } from './scheduler/stream.js'
import { Statistics } from './statistics.js'
import type { TierStore } from './tiers/store.js'
import { TokenDrawer } from './token-drawer.js'

/** Cells kept free for the answer of each running stream. */
const ANSWER_RESERVE = 256
/** Milliseconds of a step while streams decode, unless the configuration says otherwise. */
const TARGET_MS = 100
/** While nothing decodes a step may take this many times longer: it delays arrivals and cancellations only. */
const IDLE_FACTOR = 2.5
/** The accounting is compared with the library's when idle, at most this often, milliseconds. */
const CHECK_EVERY = 1000
/** Milliseconds for writing hot prefixes to disk at a drain. */
const SPILL_DEADLINE = 20_000

/** The batch engine: takes requests, runs steps, sends events. One per process; everything happens on one thread. */
export class Engine {
  readonly scheduler: Scheduler
  private readonly admission: Admission
  private readonly statistics: Statistics
  private readonly deadlines: Deadlines
  private readonly requests = new Map<number, ActiveRequest>()
  private readonly choices = new Map<object, Choice>()
  /** Requests being tokenized; false once cancelled. */
  private readonly arriving = new Map<number, boolean>()
  private readonly now: () => number = () => performance.now()
  private readonly outbox: Outbox
  private readonly writer: AnswerWriter
  private readonly drawer: TokenDrawer
  private readonly runner: BatchRunner
  private constraints: ConstraintService | null = null
  private stopped = false
  /** Something came in since the loop last looked. */
  private signalled = false
  private checkedAt = Number.NEGATIVE_INFINITY
  private wake: (() => void) | null = null
  private idleListeners: Array<() => void> = []
  private errands: Array<() => void> = []

  private constructor(
    private readonly backend: Backend,
    private readonly config: EngineConfig,
    private readonly tokenizer: PromptTokenizer,
    send: (message: FromEngine) => void,
    private readonly store: TierStore | null
  ) {
    this.scheduler = new Scheduler(backend, {
      parallel: config.parallel,
      answerReserve: ANSWER_RESERVE,
      targetMs: config.targetItlMs ?? TARGET_MS,
      idleTargetMs: IDLE_FACTOR * (config.targetItlMs ?? TARGET_MS),
      reproducible: config.reproducible,
      now: this.now
    })
    const { capabilities, info } = backend
    this.admission = new Admission(this.scheduler, config, capabilities, info.vocabularySize, this.now)
    this.statistics = new Statistics(config.blockSize, stats => send({ type: 'stats', stats }), this.now)
    this.deadlines = new Deadlines(this.now)
    this.outbox = new Outbox(send)
    const isWanted = (request: ActiveRequest) => this.requests.get(request.id) === request
    this.writer = new AnswerWriter(backend, this.outbox, isWanted, request => this.end(request))
    this.drawer = new TokenDrawer(backend, this.writer, this.now)
    this.runner = new BatchRunner({
      ...{ backend, scheduler: this.scheduler, statistics: this.statistics },
      ...{ drawer: this.drawer, writer: this.writer, outbox: this.outbox },
      choiceOf: stream => this.choices.get(stream),
      onDrawFailed: (choice, error) => this.drawFailed(choice, error),
      onRefused: (streams, message) => this.failAll(streams, message),
      onStuck: () => this.giveUpStuck(),
      now: this.now
    })
    if (store) this.scheduler.useTiers(store, () => this.awaken())
  }

  /** @param store RAM and disk tiers below the pool; null: prefixes live in the pool only. */
  static async create(
    backend: Backend,
    config: EngineConfig,
    send: (message: FromEngine) => void,
    store: TierStore | null = null
  ): Promise<Engine> {
    return new Engine(backend, config, await PromptTokenizer.create(backend), send, store)
  }

  /** Takes a request; its verdict, and all that follows, are sent as events. */
  submit(id: number, request: GenerationRequest): void {
    this.accept(id, request).catch(error => {
      this.arriving.delete(id)
      this.outbox.add({ type: 'failed', id, code: 'engine_error', message: String(error), usage: null })
    })
  }

  /** No event of this request is sent any more; its cells are free before the next step. */
  cancel(id: number): void {
    if (this.arriving.has(id)) this.arriving.set(id, false)
    const request = this.requests.get(id)
    if (!request) return
    this.statistics.counters.cancelled++
    this.abandon(request)
  }

  setPaused(id: number, paused: boolean): void {
    for (const choice of this.requests.get(id)?.choices ?? []) choice.stream.paused = paused
    this.awaken()
  }

  stats(): EngineStats {
    return this.statistics.snapshot(this.scheduler, this.admission)
  }

  /** See integrity.ts. Only between steps. */
  check(): string[] {
    return checkIntegrity(this.backend, this.scheduler)
  }

  /** Forgets every prefix that no stream is attached to, in all tiers. Only between steps. Returns the freed cells. */
  clearCache(): number {
    return this.scheduler.tiers?.clear() ?? this.scheduler.prefixes.clear()
  }

  /** Runs something that touches the backend's memory when no decode is under way. */
  betweenSteps<T>(action: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.errands.push(() => {
        try {
          resolve(action())
        } catch (error) {
          reject(error)
        }
      })
      this.awaken()
    })
  }

  /** Refuses new work from now on, and resolves when what runs has finished; what has not by then is aborted. */
  async drain(timeoutMs: number): Promise<{ finished: number; aborted: number; spilledBytes: number }> {
    this.admission.draining = true
    const before = this.requests.size + this.arriving.size
    if (before > 0)
      await Promise.race([this.idle(), new Promise(resolve => setTimeout(resolve, timeoutMs).unref())])
    const late = [...this.requests.values()]
    for (const request of late) this.fail(request, 'draining', 'the server is shutting down')
    if (late.length > 0) await this.idle()
    const spilledBytes = await this.betweenSteps(() => this.scheduler.tiers?.drain(SPILL_DEADLINE) ?? 0)
    return { finished: before - late.length, aborted: late.length, spilledBytes }
  }

  /** Resolves when no request is left, and none holds cells. */
  idle(): Promise<void> {
    if (this.nothingLeft) return Promise.resolve()
    return new Promise(resolve => this.idleListeners.push(resolve))
  }

  stop(): void {
    this.stopped = true
    this.awaken()
  }

  /** Runs steps until `stop`. */
  async run(): Promise<void> {
    while (!this.stopped) {
      this.signalled = false
      if (await this.step()) continue
      // Prefixes are being brought back and nothing else runs: no decode turns the event loop.
      if (this.scheduler.restless) {
        await new Promise(resolve => setImmediate(resolve))
        continue
      }
      this.writer.write()
      this.outbox.flush()
      if (this.leave() || this.signalled) continue
      if (this.scheduler.tidy()) {
        await new Promise(resolve => setImmediate(resolve))
        continue
      }
      this.becomeIdle()
      await new Promise<void>(resolve => {
        this.wake = resolve
        this.deadlines.wakeAfter(resolve)
      })
      this.wake = null
    }
    await this.constraints?.dispose()
    await this.store?.close({ deadlineMs: 0 })
  }

  private async accept(id: number, request: GenerationRequest): Promise<void> {
    const arrived = this.now()
    const early = this.admission.onArrival(request)
    if (early) return this.refuse(id, early)
    this.arriving.set(id, true)
    this.admission.arriving++
    const [prompt, constraint] = await Promise.all([
      this.tokenizer.tokenize(request.prompt),
      this.compile(request)
    ]).finally(() => this.admission.arriving--)
    const wanted = this.arriving.get(id)
    this.arriving.delete(id)
    if (!wanted) return this.notifyIdle()
    const verdict =
      constraint instanceof ConstraintError
        ? ({ kind: 'invalid', param: constraint.param, message: constraint.message } as const)
        : this.admission.onTokenized(prompt.tokens)
    if (verdict.kind !== 'admitted' || constraint instanceof ConstraintError) return this.refuse(id, verdict)
    this.statistics.counters.admitted++
    this.outbox.add({ type: 'verdict', id, verdict })
    const params = this.config.reproducible ? { ...request, reproducible: true } : request
    const active = new ActiveRequest(id, params, arrived, prompt, constraint)
    this.requests.set(id, active)
    for (const choice of active.choices) {
      this.choices.set(choice.stream, choice)
      this.scheduler.add(choice.stream)
    }
    this.deadlines.watch(active)
    this.awaken()
  }

  /** A constraint that cannot be is a value: the verdict says why. */
  private async compile({
    constraint
  }: GenerationRequest): Promise<CompiledConstraint | ConstraintError | null> {
    if (constraint === null) return null
    this.constraints ??= createConstraintService({
      vocabulary: drawable(this.backend, this.drawer.endOfTextTokens())
    })
    try {
      return await this.constraints.compile(constraint)
    } catch (error) {
      if (error instanceof ConstraintError) return error
      throw error
    }
  }

  private refuse(id: number, verdict: Verdict): void {
    if (verdict.kind !== 'admitted') this.statistics.counters.rejected[verdict.kind]++
    this.outbox.add({ type: 'verdict', id, verdict })
    this.notifyIdle()
  }

  private async step(): Promise<boolean> {
    for (const errand of this.errands.splice(0)) errand()
    this.expire()
    this.leave()
    const plan = this.scheduler.plan()
    this.announceStarts()
    if (!plan) return this.giveUpStuck()
    for (const [at, batch] of plan.batches.entries())
      if (!(await this.runner.run(batch, plan.batches.slice(at + 1).flat()))) break
    this.leave()
    this.scheduler.tidy()
    this.statistics.publishSometimes(this.scheduler, this.admission)
    if (this.config.checkEveryStep) this.assertIntegrity()
    return true
  }

  private drawFailed(choice: Choice, error: unknown): void {
    if (!(error instanceof ConstraintFailedError)) throw error
    this.fail(choice.request, 'constraint_failed', error.message)
  }

  private end(request: ActiveRequest): void {
    this.outbox.add({
      type: 'end',
      id: request.id,
      usage: request.usage(),
      timings: request.timings(this.now())
    })
    this.requests.delete(request.id)
    this.deadlines.forget(request)
    this.admission.onFinish()
    this.notifyIdle()
  }

  /** Streams that are done leave the scheduler; only between steps. Returns whether any did. */
  private leave(): boolean {
    let any = false
    for (const choice of this.choices.values()) {
      if (!choice.done) continue
      this.scheduler.finish(choice.stream)
      choice.free()
      this.choices.delete(choice.stream)
      any = true
    }
    if (any) this.notifyIdle()
    return any
  }

  private abandon(request: ActiveRequest): void {
    this.requests.delete(request.id)
    this.deadlines.forget(request)
    for (const choice of request.choices) {
      choice.done = true
      // Its place in the queue is free at once: whoever comes now is not refused for those who have left.
      if (this.scheduler.waiting.includes(choice.stream)) this.scheduler.finish(choice.stream)
    }
    this.awaken()
  }

  private fail(request: ActiveRequest, code: FailureCode, message: string): void {
    this.statistics.counters.failed++
    this.outbox.add({ type: 'failed', id: request.id, code, message, usage: request.usage() })
    this.abandon(request)
  }

  private expire(): void {
    for (const { request, code, message } of this.deadlines.expired()) this.fail(request, code, message)
  }

  private announceStarts(): void {
    for (const stream of this.scheduler.takeStarted()) {
      const choice = this.choices.get(stream)
      if (!choice || choice.index > 0) continue
      const { id, cached } = choice.request
      this.statistics.started(cached)
      this.outbox.add({ type: 'started', id, cached })
    }
  }

  /** A single stream has grown to the end of the pool, and nothing is left to evict. */
  private giveUpStuck(): boolean {
    const stuck = this.scheduler.running.find(stream => this.scheduler.wantsRows(stream))
    const choice = stuck && this.choices.get(stuck)
    if (!choice) return false
    this.writer.add({ choice, token: -1, logprob: undefined, finish: 'length' })
    this.leave()
    return true
  }

  private failAll(streams: readonly Stream[], message: string): void {
    for (const stream of streams) {
      const choice = this.choices.get(stream)
      if (choice && this.requests.has(choice.request.id)) this.fail(choice.request, 'engine_error', message)
    }
    this.outbox.flush()
  }

  private becomeIdle(): void {
    this.statistics.publish(this.scheduler, this.admission)
    if (this.requests.size > 0 || this.now() - this.checkedAt < CHECK_EVERY) return
    this.checkedAt = this.now()
    this.assertIntegrity()
  }

  private assertIntegrity(): void {
    const differences = this.check()
    if (differences.length > 0) throw new Error(`the pool's accounting is wrong: ${differences.join('; ')}`)
  }

  private get nothingLeft(): boolean {
    return this.requests.size === 0 && this.arriving.size === 0 && this.choices.size === 0
  }

  private notifyIdle(): void {
    if (!this.nothingLeft) return
    const listeners = this.idleListeners
    this.idleListeners = []
    for (const listener of listeners) listener()
  }

  private awaken(): void {
    this.signalled = true
    this.wake?.()
  }
}
