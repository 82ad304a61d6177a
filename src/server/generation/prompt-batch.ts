import { setTimeout } from 'node:timers/promises'
import type {
  CachedTokens,
  EngineCalls,
  EngineMethod,
  GenerationRequest,
  PromptSegment,
  RequestEvent,
  RequestTimings,
  RequestUsage,
  Verdict
} from '../../engine/messages.js'
import type { Engine, Generation } from '../../models/types.js'

/** Prompts of one request that are with the engine at the same time: other clients' requests find room beside them. */
const atOnce = 16

/**
 * Several prompts as one request: an engine whose `submit` runs the request once per prompt and merges the events, so
 * that collecting and streaming need not know. Choices count through: prompt p's choice c is `p * choices + c`.
 *
 * The first prompt's verdict is the request's. Once that is admitted, the others wait for room as long as it takes.
 */
export class PromptBatch implements Engine {
  constructor(
    private readonly engine: Engine,
    private readonly prompts: readonly PromptSegment[][]
  ) {}

  /** @param request its own prompt is not looked at */
  submit(request: GenerationRequest, onEvent: (event: RequestEvent) => void): Generation {
    return new BatchRun(this.engine, this.prompts, request, onEvent)
  }

  call<M extends EngineMethod>(
    method: M,
    params: EngineCalls[M]['params']
  ): Promise<EngineCalls[M]['result']> {
    return this.engine.call(method, params)
  }
}

class BatchRun implements Generation {
  readonly #running = new Map<number, Generation>()
  readonly #stop = new AbortController()
  #next = 0
  #finished = 0
  #admitted = false
  #started = false
  #paused = false
  #over = false
  #usage: RequestUsage | undefined
  #timings: RequestTimings | undefined

  constructor(
    private readonly engine: Engine,
    private readonly prompts: readonly PromptSegment[][],
    private readonly request: GenerationRequest,
    private readonly onEvent: (event: RequestEvent) => void
  ) {
    this.#submit(this.#next++)
  }

  cancel(): void {
    this.#over = true
    this.#stop.abort()
    for (const generation of this.#running.values()) generation.cancel()
    this.#running.clear()
  }

  pause(): void {
    this.#paused = true
    for (const generation of this.#running.values()) generation.pause()
  }

  resume(): void {
    this.#paused = false
    for (const generation of this.#running.values()) generation.resume()
  }

  #submit(index: number): void {
    const prompt = this.prompts[index] as PromptSegment[]
    const request = { ...this.request, prompt }
    const generation = this.engine.submit(request, event => {
      if (!this.#over) this.#accept(index, event)
    })
    this.#running.set(index, generation)
    if (this.#paused) generation.pause()
  }

  #submitMore(): void {
    while (!this.#over && this.#running.size < atOnce && this.#next < this.prompts.length) {
      this.#submit(this.#next++)
    }
  }

  #accept(index: number, event: RequestEvent): void {
    switch (event.type) {
      case 'verdict':
        this.#onVerdict(index, event)
        break
      case 'started':
        if (!this.#started) this.onEvent(event)
        this.#started = true
        break
      case 'prompt':
        this.onEvent({ ...event, prompt: index })
        break
      case 'text':
      case 'finish':
        this.onEvent({ ...event, choice: index * this.request.choices + event.choice })
        break
      case 'failed':
        this.#end({ ...event, usage: addUsage(this.#usage, event.usage) })
        break
      case 'end':
        this.#onEnd(index, event)
    }
  }

  #onVerdict(index: number, event: Extract<RequestEvent, { type: 'verdict' }>): void {
    const { verdict } = event
    if (!this.#admitted) {
      this.#admitted = verdict.kind === 'admitted'
      if (this.#admitted) this.onEvent(event)
      else this.#end(event)
      this.#submitMore()
    } else if (verdict.kind === 'full') void this.#submitLater(index, verdict.retryAfterMs)
    else if (verdict.kind !== 'admitted') this.#end(lateRefusal(event.id, verdict))
  }

  async #submitLater(index: number, ms: number): Promise<void> {
    await setTimeout(ms, undefined, { signal: this.#stop.signal }).catch(() => {})
    if (!this.#over) this.#submit(index)
  }

  #onEnd(index: number, event: Extract<RequestEvent, { type: 'end' }>): void {
    this.#running.delete(index)
    this.#finished += 1
    this.#usage = addUsage(this.#usage, event.usage) ?? event.usage
    this.#timings = addTimings(this.#timings, event.timings)
    if (this.#finished < this.prompts.length) this.#submitMore()
    else this.#end({ ...event, usage: this.#usage, timings: this.#timings })
  }

  #end(event: RequestEvent): void {
    this.cancel()
    this.onEvent(event)
  }
}

/** What was refused after the headers went out can only be a failure. */
function lateRefusal(
  id: number,
  verdict: Exclude<Verdict, { kind: 'admitted' } | { kind: 'full' }>
): RequestEvent {
  const failed = { type: 'failed' as const, id, usage: null }
  switch (verdict.kind) {
    case 'draining':
      return { ...failed, code: 'draining', message: 'the server is shutting down' }
    case 'tooLong':
      return { ...failed, code: 'engine_error', message: `a prompt has ${verdict.promptTokens} tokens` }
    case 'invalid':
      return { ...failed, code: 'engine_error', message: verdict.message }
  }
}

function addUsage(sum: RequestUsage | undefined, more: RequestUsage | null): RequestUsage | null {
  if (!sum || !more) return more ?? sum ?? null
  const cached: CachedTokens = {
    ...sum.cached,
    resident: sum.cached.resident + more.cached.resident,
    ram: sum.cached.ram + more.cached.ram,
    disk: sum.cached.disk + more.cached.disk
  }
  return {
    promptTokens: sum.promptTokens + more.promptTokens,
    completionTokens: sum.completionTokens + more.completionTokens,
    cached
  }
}

/** Of the whole request: until the first prompt's first token, and until the last one's end. */
function addTimings(sum: RequestTimings | undefined, more: RequestTimings): RequestTimings {
  if (!sum) return more
  return {
    queueMs: Math.min(sum.queueMs, more.queueMs),
    prefillMs: sum.prefillMs + more.prefillMs,
    firstTokenMs: Math.min(sum.firstTokenMs, more.firstTokenMs),
    totalMs: Math.max(sum.totalMs, more.totalMs)
  }
}
