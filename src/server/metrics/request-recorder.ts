import type {
  CachedTokens,
  RequestEvent,
  RequestTimings,
  RequestUsage,
  Verdict
} from '../../engine/messages.js'
import { countUp, type ModelCounts } from './model-counts.js'

/** Counts one request by its events. Times are those of `performance.now()`. */
export class RequestRecorder {
  readonly #counts: ModelCounts
  readonly #arrived: number
  readonly #submitted: number
  readonly #now: () => number
  #promptTokens = 0
  #generated = 0
  #cached: CachedTokens | null = null
  /** When the last text of each choice came. */
  readonly #lastText: number[] = []
  #answered = false
  #over = false

  /** @param arrived when the client's request came in */
  constructor(counts: ModelCounts, arrived: number, now: () => number = () => performance.now()) {
    this.#counts = counts
    this.#arrived = arrived
    this.#now = now
    this.#submitted = now()
    counts.submitted++
  }

  event(event: RequestEvent): void {
    switch (event.type) {
      case 'verdict':
        this.#verdict(event.verdict)
        return
      case 'started':
        this.#cached = event.cached
        this.#counts.queued.observe((this.#now() - this.#submitted) / 1000)
        this.#counts.promptTokens += this.#promptTokens
        return
      case 'text':
        this.#text(event.choice, event.tokens)
        return
      case 'finish':
        this.#firstAnswer(this.#now())
        countUp(this.#counts.finished, event.reason)
        return
      case 'end':
        this.#end(event.usage, event.timings)
        return
      case 'failed':
        this.#counts.failed++
        this.#settle(event.usage)
    }
  }

  /** Nobody wants the answer any more. */
  cancelled(): void {
    if (this.#over) return
    this.#counts.cancelled++
    this.#settle(null)
  }

  #verdict(verdict: Verdict): void {
    if (verdict.kind === 'admitted') {
      this.#promptTokens = verdict.promptTokens
      return
    }
    this.#over = true
    countUp(this.#counts.rejected, rejection(verdict))
  }

  #text(choice: number, tokens: number): void {
    const now = this.#now()
    const last = this.#lastText[choice]
    if (last !== undefined) this.#counts.gap.observe((now - last) / 1000)
    this.#lastText[choice] = now
    this.#generated += tokens
    this.#counts.generatedTokens += tokens
    this.#firstAnswer(now)
  }

  #firstAnswer(now: number): void {
    if (this.#answered) return
    this.#answered = true
    this.#counts.firstToken.observe((now - this.#arrived) / 1000)
  }

  #end(usage: RequestUsage, timings: RequestTimings): void {
    this.#settle(usage)
    this.#counts.promptLength.observe(usage.promptTokens)
    this.#counts.answerLength.observe(usage.completionTokens)
    this.#counts.prefill.observe(timings.prefillMs / 1000)
    this.#counts.decode.observe(Math.max(0, timings.totalMs - timings.firstTokenMs) / 1000)
    this.#counts.total.observe((this.#now() - this.#arrived) / 1000)
  }

  /** The last word on tokens: usage where there is one, otherwise what was seen. */
  #settle(usage: RequestUsage | null): void {
    this.#over = true
    if (this.#cached === null) return
    this.#counts.lookedUp(usage?.promptTokens ?? this.#promptTokens, usage?.cached ?? this.#cached)
    if (usage === null) return
    // Further prompts of the same request, and tokens without a text of their own (a stop text, the end of an answer).
    this.#counts.promptTokens += Math.max(0, usage.promptTokens - this.#promptTokens)
    this.#counts.generatedTokens += Math.max(0, usage.completionTokens - this.#generated)
  }
}

function rejection(verdict: Exclude<Verdict, { kind: 'admitted' }>): string {
  if (verdict.kind === 'full') return verdict.reason
  return verdict.kind === 'tooLong' ? 'too_long' : verdict.kind
}
