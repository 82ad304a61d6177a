import type {
  EngineCalls,
  EngineConfig,
  EngineMethod,
  EngineStats,
  FromEngine,
  GenerationRequest,
  RequestEvent
} from '../engine/messages.js'
import type { Clock } from './clock.js'
import { describeExit, type EngineExit, EngineProcess } from './engine-process.js'
import { LoadFailedError } from './failures.js'
import type { Logger } from './log.js'
import { QueueGate } from './queue-gate.js'
import type { Bounds } from './supervisor-options.js'
import { type Engine, EngineGoneError, type Generation } from './types.js'
import { Watchdog } from './watchdog.js'

export type Ready = Omit<Extract<FromEngine, { type: 'ready' }>, 'type'>
export type DrainResult = EngineCalls['drain']['result']

export interface EngineClientOptions {
  /** The engine's program, a JavaScript file. */
  entry: string
  config: EngineConfig
  logger: Logger
  clock: Clock
  bounds: Pick<Bounds, 'exitMs' | 'heartbeatMs' | 'stepMs'>
  /** Any message is a sign of life; `fraction` (0..1) is how much is loaded. */
  onProgress?: (fraction: number) => void
  onStats?: (stats: EngineStats) => void
  /** Once, after every request in flight has been told. The process itself may take a little longer: `ended`. */
  onGone?: () => void
}

/** Prompts that the engine has not taken from the channel yet may take this much of our memory, in characters. */
const longestBacklog = 64 * 1024 * 1024

/** Ids are drawn from one counter for all engines, so that an id in a log means one request. */
let lastId = 0
let lastCall = 0

/** A request in flight. */
interface InFlight {
  onEvent(event: RequestEvent): void
  /** Streams that it will be. */
  choices: number
  /** It is being computed. */
  started: boolean
  paused: boolean
}

interface PendingCall {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** One engine process: carries requests to it and events back. Starts the process at once. */
export class EngineClient implements Engine {
  /** Rejects with LoadFailedError. */
  readonly ready: Promise<Ready>
  /** The process has ended; never rejects. */
  readonly ended: Promise<EngineExit>
  readonly #options: EngineClientOptions
  readonly #process: EngineProcess
  readonly #requests = new Map<number, InFlight>()
  readonly #calls = new Map<number, PendingCall>()
  #settleReady!: { resolve(ready: Ready): void; reject(error: Error): void }
  #backlog = 0
  readonly #gate = new QueueGate()
  /** Clock time until which a drain may last; null: not draining. */
  #drainUntil: number | null = null
  #stopping = false
  readonly #watchdog: Watchdog
  #stuck: string | null = null
  /** Requests that were in flight when the process went away. */
  #lost = 0

  constructor(options: EngineClientOptions) {
    this.#options = options
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject }
    })
    this.ready.catch(() => {})
    this.#process = new EngineProcess({
      entry: options.entry,
      config: options.config,
      logger: options.logger,
      exitMs: options.bounds.exitMs,
      onMessage: message => this.#onMessage(message),
      onGone: () => this.#onGone()
    })
    this.ended = this.#process.ended
    this.#watchdog = new Watchdog({
      clock: options.clock,
      heartbeatMs: options.bounds.heartbeatMs,
      stepMs: options.bounds.stepMs,
      ping: () => this.#ping(),
      computing: () => [...this.#requests.values()].some(request => request.started && !request.paused),
      onStuck: reason => {
        this.#stuck = reason
        this.kill()
      }
    })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  get gone(): boolean {
    return this.#process.gone
  }

  get full(): boolean {
    return this.#gate.closed && this.#drainUntil === null && !this.gone
  }

  /** Requests whose last event has not come yet. */
  get inFlight(): number {
    return this.#requests.size
  }

  /** Why it was killed for not getting on; null: it was not. */
  get stuck(): string | null {
    return this.#stuck
  }

  submit(request: GenerationRequest, onEvent: (event: RequestEvent) => void): Generation {
    const id = ++lastId
    const refusal = this.#refusal(id)
    this.#requests.set(id, { onEvent, choices: request.choices, started: false, paused: false })
    this.#gate.submitted(request.choices)
    if (refusal === null) {
      const size = promptSize(request)
      this.#backlog += size
      this.#process.send({ type: 'submit', id, request }, () => {
        this.#backlog -= size
      })
      this.#watchdog.wake()
    } else {
      // Never before the caller has its Generation.
      queueMicrotask(() => this.#dispatch(refusal))
    }
    return {
      cancel: () => {
        if (this.#forget(id)) this.#process.send({ type: 'cancel', id })
      },
      pause: () => this.#setPaused(id, true),
      resume: () => this.#setPaused(id, false)
    }
  }

  call<M extends EngineMethod>(
    method: M,
    params: EngineCalls[M]['params']
  ): Promise<EngineCalls[M]['result']> {
    return new Promise((resolve, reject) => {
      if (this.gone) {
        reject(new EngineGoneError())
        return
      }
      const call = ++lastCall
      this.#calls.set(call, { resolve: resolve as PendingCall['resolve'], reject })
      this.#process.send({ type: 'call', call, method, params })
    })
  }

  /**
   * Refuses new work, lets running work finish until the timeout, then ends the process. Never rejects: work lost
   * because the engine died or did not answer counts as aborted.
   */
  async drain({ timeoutMs }: { timeoutMs: number }): Promise<DrainResult> {
    this.#drainUntil = performance.now() + timeoutMs
    const running = this.inFlight
    // Whoever drains waits, also when no request is left: an engine that freezes while it spills is ended.
    this.#watchdog.wake()
    const drained = await within(this.call('drain', { timeoutMs }), timeoutMs + this.#options.bounds.exitMs)
    await this.stop()
    if (drained === undefined) return { finished: running - this.#lost, aborted: this.#lost, spilledBytes: 0 }
    return { ...drained, aborted: drained.aborted + this.#lost }
  }

  /** Ends the process: asked first, killed after `exitMs`. */
  async stop(): Promise<EngineExit> {
    this.#drainUntil ??= performance.now()
    this.#stopping = true
    this.call('shutdown', null).catch(() => {})
    if ((await within(this.ended, this.#options.bounds.exitMs)) === undefined) {
      this.#options.logger.warn({ pid: this.pid }, 'engine process did not end when asked to, killing it')
      this.kill()
    }
    return this.ended
  }

  kill(): void {
    this.#process.kill()
  }

  #forget(id: number): boolean {
    const request = this.#requests.get(id)
    if (request === undefined) return false
    this.#requests.delete(id)
    if (!request.started) this.#gate.left(request.choices)
    if (this.#requests.size === 0 && this.#drainUntil === null) this.#watchdog.rest()
    return true
  }

  #setPaused(id: number, paused: boolean): void {
    const request = this.#requests.get(id)
    if (request === undefined) return
    request.paused = paused
    this.#process.send({ type: paused ? 'pause' : 'resume', id })
  }

  #ping(): void {
    this.call('stats', null).then(
      stats => this.#watchdog.steps(stats.counters.steps),
      () => {}
    )
  }

  #refusal(id: number): RequestEvent | null {
    if (this.#drainUntil !== null) {
      const retryAfterMs = Math.max(1000, Math.round(this.#drainUntil - performance.now()))
      return { type: 'verdict', id, verdict: { kind: 'draining', retryAfterMs } }
    }
    if (this.gone) return this.#failed(id)
    if (this.#backlog > longestBacklog) {
      return { type: 'verdict', id, verdict: { kind: 'full', retryAfterMs: 1000, reason: 'queue' } }
    }
    const verdict = this.#gate.refusal(this.#running())
    return verdict && { type: 'verdict', id, verdict }
  }

  /** Streams that are computed. */
  #running(): number {
    let running = 0
    for (const { started, choices } of this.#requests.values()) if (started) running += choices
    return running
  }

  #onMessage(message: FromEngine): void {
    this.#watchdog.message()
    switch (message.type) {
      case 'events':
        for (const event of message.events) this.#dispatch(event)
        break
      case 'stats':
        this.#watchdog.steps(message.stats.counters.steps)
        this.#options.onStats?.(message.stats)
        break
      case 'reply':
        this.#onReply(message)
        break
      case 'progress':
        this.#options.onProgress?.(message.fraction)
        break
      case 'ready':
        this.#settleReady.resolve({
          info: message.info,
          capabilities: message.capabilities,
          config: message.config
        })
        break
      case 'loadFailed':
        this.#settleReady.reject(new LoadFailedError(message.failure))
        break
    }
  }

  /** Every event of every stream comes through here: one look-up, nothing allocated. */
  #dispatch(event: RequestEvent): void {
    const request = this.#requests.get(event.id)
    if (request === undefined) return
    if (event.type === 'started') {
      if (!request.started) this.#gate.left(request.choices)
      request.started = true
    } else if (event.type === 'verdict') this.#gate.verdict(event.verdict)
    else this.#watchdog.step()
    if (isLast(event)) this.#forget(event.id)
    if (event.type === 'end') this.#gate.finished(this.#requests.size === 0)
    try {
      request.onEvent(event)
    } catch (error) {
      this.#options.logger.error({ err: error, request: event.id }, 'a listener of engine events failed')
      if (this.#forget(event.id)) this.#process.send({ type: 'cancel', id: event.id })
    }
  }

  #onReply(message: Extract<FromEngine, { type: 'reply' }>): void {
    const pending = this.#calls.get(message.call)
    if (pending === undefined) return
    this.#calls.delete(message.call)
    if (message.ok) pending.resolve(message.result)
    else pending.reject(new Error(message.message))
  }

  #failed(id: number): RequestEvent {
    if (this.#stuck !== null) {
      return { type: 'failed', id, code: 'engine_crashed', message: this.#stuck, usage: null }
    }
    if (this.#stopping) {
      return { type: 'failed', id, code: 'draining', message: 'the engine was stopped', usage: null }
    }
    return { type: 'failed', id, code: 'engine_crashed', message: 'the engine process ended', usage: null }
  }

  #onGone(): void {
    this.#watchdog.stop()
    const ids = [...this.#requests.keys()]
    this.#lost = ids.length
    for (const id of ids) this.#dispatch(this.#failed(id))
    for (const pending of this.#calls.values()) pending.reject(new EngineGoneError())
    this.#calls.clear()
    void this.ended.then(exit => {
      const message = `the engine process ${describeExit(exit)}`
      this.#settleReady.reject(new LoadFailedError({ code: 'engine_crashed', message }))
    })
    this.#options.onGone?.()
  }
}

function isLast(event: RequestEvent): boolean {
  switch (event.type) {
    case 'verdict':
      return event.verdict.kind !== 'admitted'
    case 'end':
    case 'failed':
      return true
    default:
      return false
  }
}

/** Characters that a request's prompt takes on the channel, about. */
function promptSize(request: GenerationRequest): number {
  let size = 0
  for (const segment of request.prompt) {
    size += segment.type === 'text' ? segment.text.length : segment.tokens.length * 6
  }
  return size
}

/** What a promise gives; undefined when it rejects or takes longer than `ms`. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([promise, late])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}
