import type {
  EngineCalls,
  EngineConfig,
  EngineMethod,
  EngineStats,
  FromEngine,
  GenerationRequest,
  RequestEvent
} from '../engine/messages.js'
import { describeExit, type EngineExit, EngineProcess } from './engine-process.js'
import { LoadFailedError } from './failures.js'
import type { Logger } from './log.js'
import { type Engine, EngineGoneError, type Generation } from './types.js'

export type Ready = Omit<Extract<FromEngine, { type: 'ready' }>, 'type'>
export type DrainResult = EngineCalls['drain']['result']

export interface EngineClientOptions {
  /** The engine's program, a JavaScript file. */
  entry: string
  config: EngineConfig
  logger: Logger
  /** How long the process may take to end, once asked to, before it is killed; milliseconds. */
  exitMs: number
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
  readonly #listeners = new Map<number, (event: RequestEvent) => void>()
  readonly #calls = new Map<number, PendingCall>()
  #settleReady!: { resolve(ready: Ready): void; reject(error: Error): void }
  #backlog = 0
  /** Clock time until which a drain may last; null: not draining. */
  #drainUntil: number | null = null
  #stopping = false
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
      exitMs: options.exitMs,
      onMessage: message => this.#onMessage(message),
      onGone: () => this.#onGone()
    })
    this.ended = this.#process.ended
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  get gone(): boolean {
    return this.#process.gone
  }

  /** Requests whose last event has not come yet. */
  get inFlight(): number {
    return this.#listeners.size
  }

  submit(request: GenerationRequest, onEvent: (event: RequestEvent) => void): Generation {
    const id = ++lastId
    this.#listeners.set(id, onEvent)
    const refusal = this.#refusal(id)
    if (refusal === null) {
      const size = promptSize(request)
      this.#backlog += size
      this.#process.send({ type: 'submit', id, request }, () => {
        this.#backlog -= size
      })
    } else {
      // Never before the caller has its Generation.
      queueMicrotask(() => this.#dispatch(refusal))
    }
    return {
      cancel: () => {
        if (this.#listeners.delete(id)) this.#process.send({ type: 'cancel', id })
      },
      pause: () => {
        if (this.#listeners.has(id)) this.#process.send({ type: 'pause', id })
      },
      resume: () => {
        if (this.#listeners.has(id)) this.#process.send({ type: 'resume', id })
      }
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
    const drained = await within(this.call('drain', { timeoutMs }), timeoutMs + this.#options.exitMs)
    await this.stop()
    if (drained === undefined) return { finished: running - this.#lost, aborted: this.#lost, spilledBytes: 0 }
    return { ...drained, aborted: drained.aborted + this.#lost }
  }

  /** Ends the process: asked first, killed after `exitMs`. */
  async stop(): Promise<EngineExit> {
    this.#drainUntil ??= performance.now()
    this.#stopping = true
    this.call('shutdown', null).catch(() => {})
    if ((await within(this.ended, this.#options.exitMs)) === undefined) {
      this.#options.logger.warn({ pid: this.pid }, 'engine process did not end when asked to, killing it')
      this.kill()
    }
    return this.ended
  }

  kill(): void {
    this.#process.kill()
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
    return null
  }

  #onMessage(message: FromEngine): void {
    switch (message.type) {
      case 'events':
        for (const event of message.events) this.#dispatch(event)
        break
      case 'stats':
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
    const listener = this.#listeners.get(event.id)
    if (listener === undefined) return
    if (isLast(event)) this.#listeners.delete(event.id)
    try {
      listener(event)
    } catch (error) {
      this.#options.logger.error({ err: error, request: event.id }, 'a listener of engine events failed')
      if (this.#listeners.delete(event.id)) this.#process.send({ type: 'cancel', id: event.id })
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
    if (this.#stopping) {
      return { type: 'failed', id, code: 'draining', message: 'the engine was stopped', usage: null }
    }
    return { type: 'failed', id, code: 'engine_crashed', message: 'the engine process ended', usage: null }
  }

  #onGone(): void {
    const ids = [...this.#listeners.keys()]
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
