import type { EngineCalls, EngineMethod, GenerationRequest, RequestEvent } from '../engine/messages.js'
import type { Clock } from './clock.js'
import { type Engine, EngineGoneError, type Generation } from './types.js'

export interface SteadyEngineOptions {
  clock: Clock
  /** The engine that serves now; null when there is none. */
  current(): Engine | null
  /** Waits for the next one. */
  acquire(): Promise<Engine>
  /** Nothing is served any more. */
  closed(): boolean
  onStart(): void
  onEnd(): void
}

/** A request that has no text yet is moved to the next engine so often when its own goes away. */
const mostMoves = 3
/** One that was being computed when its engine died may be the reason why: it gets one more chance. */
const mostCrashes = 1
/** Pause before the second move; each further one is twice as long. Milliseconds. */
const pauseMs = 200

/**
 * A model's engine across the ends of its processes. A request of which nothing has been sent is safe to try again: it
 * goes to the next engine when its own crashes, is swapped or unloaded. Its client sees one verdict and one start.
 */
export class SteadyEngine implements Engine {
  readonly #options: SteadyEngineOptions

  constructor(options: SteadyEngineOptions) {
    this.#options = options
  }

  submit(request: GenerationRequest, onEvent: (event: RequestEvent) => void): Generation {
    return new SteadyGeneration(request, onEvent, this.#options)
  }

  get full(): boolean {
    return this.#options.current()?.full ?? false
  }

  async call<M extends EngineMethod>(
    method: M,
    params: EngineCalls[M]['params']
  ): Promise<EngineCalls[M]['result']> {
    const { current, acquire } = this.#options
    try {
      return await (current() ?? (await acquire())).call(method, params)
    } catch (error) {
      if (!(error instanceof EngineGoneError)) throw error
      return (await acquire()).call(method, params)
    }
  }
}

class SteadyGeneration implements Generation {
  readonly #request: GenerationRequest
  readonly #onEvent: (event: RequestEvent) => void
  readonly #options: SteadyEngineOptions
  readonly #since: number
  #generation: Generation | null = null
  #moves = 0
  #crashes = 0
  #admitted = false
  #started = false
  /** This engine has begun to compute it. */
  #computing = false
  #sent = false
  #paused = false
  #done = false
  #cancelPause: () => void = () => {}

  constructor(
    request: GenerationRequest,
    onEvent: (event: RequestEvent) => void,
    options: SteadyEngineOptions
  ) {
    this.#request = request
    this.#onEvent = onEvent
    this.#options = options
    this.#since = options.clock.now()
    options.onStart()
    const engine = options.current()
    if (engine === null) queueMicrotask(() => void this.#next())
    else this.#submit(engine)
  }

  cancel(): void {
    if (this.#done) return
    this.#end()
    this.#cancelPause()
    this.#generation?.cancel()
  }

  pause(): void {
    this.#paused = true
    this.#generation?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#generation?.resume()
  }

  #submit(engine: Engine): void {
    this.#computing = false
    this.#generation = engine.submit(this.#remaining(), event => this.#take(event))
    if (this.#paused) this.#generation.pause()
  }

  #take(event: RequestEvent): void {
    if (this.#done) return
    switch (event.type) {
      case 'verdict':
        if (event.verdict.kind === 'draining' && this.#mayMove()) this.#move()
        else if (event.verdict.kind !== 'admitted') this.#refused(event)
        else if (!this.#admitted) {
          this.#admitted = true
          this.#onEvent(event)
        }
        return
      case 'started':
        this.#computing = true
        if (this.#started) return
        this.#started = true
        this.#onEvent(event)
        return
      case 'failed':
        if ((event.code === 'engine_crashed' || event.code === 'draining') && this.#mayMove(event.code)) {
          this.#move()
          return
        }
        this.#end()
        this.#onEvent(event)
        return
      default:
        this.#sent = true
        if (event.type === 'end') this.#end()
        this.#onEvent(event)
    }
  }

  /** A verdict that its client has not seen is passed on; after an earlier one it is a failure. */
  #refused(event: Extract<RequestEvent, { type: 'verdict' }>): void {
    this.#end()
    if (!this.#admitted) this.#onEvent(event)
    else this.#fail(event.id, `the engine ended, and the next one refuses the request: ${event.verdict.kind}`)
  }

  #mayMove(code?: string): boolean {
    if (this.#sent || this.#options.closed() || this.#moves >= mostMoves) return false
    return !(code === 'engine_crashed' && this.#computing && this.#crashes >= mostCrashes)
  }

  #move(): void {
    if (this.#computing) this.#crashes++
    this.#generation = null
    const moves = this.#moves++
    if (moves === 0) {
      void this.#next()
      return
    }
    this.#cancelPause = this.#options.clock.after(pauseMs * 2 ** (moves - 1), () => void this.#next())
  }

  async #next(): Promise<void> {
    try {
      const engine = await this.#options.acquire()
      if (!this.#done) this.#submit(engine)
    } catch (error) {
      if (this.#done) return
      this.#end()
      this.#fail(0, error instanceof Error ? error.message : String(error))
    }
  }

  #fail(id: number, message: string): void {
    this.#onEvent({ type: 'failed', id, code: 'engine_crashed', message, usage: null })
  }

  #end(): void {
    if (this.#done) return
    this.#done = true
    this.#options.onEnd()
  }

  /** Time limits count from the first submission. */
  #remaining(): GenerationRequest {
    const { deadlines } = this.#request
    if (deadlines.queue === null && deadlines.firstToken === null && deadlines.total === null) {
      return this.#request
    }
    const spent = this.#options.clock.now() - this.#since
    const left = (ms: number | null) => (ms === null ? null : Math.max(1, ms - spent))
    return {
      ...this.#request,
      deadlines: {
        queue: left(deadlines.queue),
        firstToken: left(deadlines.firstToken),
        total: left(deadlines.total)
      }
    }
  }
}
