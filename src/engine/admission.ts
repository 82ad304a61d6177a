import type { Capabilities } from './backend.js'
import type { EngineConfig, GenerationRequest, QueueState, Verdict } from './messages.js'
import type { Scheduler } from './scheduler/scheduler.js'

/** A client is never told to come back sooner or later than this, milliseconds. */
const RETRY_BOUNDS = { least: 500, most: 60_000 }

/** Weight of the newest measurement in the drain rate. */
const SMOOTHING = 0.2

/** Decides on arrival whether a request may wait for its turn. Verdicts are values: HTTP is only one way in. */
export class Admission {
  draining = false
  /** Requests whose prompt is being tokenized: they count as waiting. */
  arriving = 0
  private msPerFinish: number | null = null
  private lastFinish: number | null = null
  /** The moment that the last refused request was told. */
  private nextReturn = Number.NEGATIVE_INFINITY

  constructor(
    private readonly scheduler: Scheduler,
    private readonly config: Pick<EngineConfig, 'maxQueue' | 'maxQueuedTokens'>,
    private readonly capabilities: Capabilities,
    private readonly vocabularySize: number,
    private readonly now: () => number
  ) {}

  /** What can be said before the prompt is tokenized; null: go on. */
  onArrival(request: GenerationRequest): Verdict | null {
    if (this.draining) return { kind: 'draining', retryAfterMs: this.retryAfter() }
    if (this.queued() >= this.config.maxQueue) return this.full('queue')
    for (const { token } of request.sampling.logitBias) {
      if (token < 0 || token >= this.vocabularySize) {
        return { kind: 'invalid', param: 'logit_bias', message: `token ${token} is not in the vocabulary` }
      }
    }
    return null
  }

  /** What its length says. */
  onTokenized(tokens: Int32Array): Verdict {
    const limit = this.capabilities.cellsPerSequence
    if (tokens.length === 0) return { kind: 'invalid', param: 'prompt', message: 'the prompt is empty' }
    if (tokens.some(token => token < 0 || token >= this.vocabularySize)) {
      return {
        kind: 'invalid',
        param: 'prompt',
        message: 'the prompt has a token that is not in the vocabulary'
      }
    }
    if (tokens.length >= limit) return { kind: 'tooLong', promptTokens: tokens.length, limit }
    const { maxQueuedTokens } = this.config
    if (
      maxQueuedTokens !== null &&
      this.queued() > 0 &&
      this.waitingTokens() + tokens.length > maxQueuedTokens
    ) {
      return this.full('queued_tokens')
    }
    // The time in which nobody was here says nothing about how fast requests finish.
    if (this.scheduler.running.length + this.scheduler.waiting.length === 0) this.lastFinish = null
    return { kind: 'admitted', promptTokens: tokens.length, queue: this.state() }
  }

  onFinish(): void {
    const now = this.now()
    if (this.lastFinish !== null) {
      const gap = now - this.lastFinish
      this.msPerFinish =
        this.msPerFinish === null ? gap : this.msPerFinish + SMOOTHING * (gap - this.msPerFinish)
    }
    this.lastFinish = now
  }

  /** The queue as it is now, without the request that is being looked at. */
  private state(): QueueState {
    return {
      running: this.scheduler.running.length,
      waiting: this.scheduler.waiting.length,
      maxWaiting: this.config.maxQueue,
      waitingTokens: this.waitingTokens(),
      maxWaitingTokens: this.config.maxQueuedTokens
    }
  }

  private full(reason: 'queue' | 'queued_tokens'): Verdict {
    return { kind: 'full', retryAfterMs: this.comeBack(), reason, queue: this.state() }
  }

  /** Prompt tokens of streams that have not started. */
  waitingTokens(): number {
    return this.scheduler.waiting.reduce((sum, stream) => sum + stream.tokens.length, 0)
  }

  /** Requests that cannot start now and must queue. */
  private queued(): number {
    return this.scheduler.waiting.length + this.arriving - this.scheduler.startable(this.arriving)
  }

  /**
   * When a refused request may try again. Each is given a moment of its own, one finished request after the last one's:
   * who obeys finds room, and not everybody who was refused with him.
   */
  private comeBack(): number {
    const now = this.now()
    const spacing = this.msPerFinish ?? 0
    const at = Math.max(now + this.retryAfter(), this.nextReturn + spacing)
    this.nextReturn = Math.min(at, now + RETRY_BOUNDS.most)
    return Math.round(this.nextReturn - now)
  }

  /** When half of the queue will have drained, by the rate at which requests finish now. */
  private retryAfter(): number {
    const { least, most } = RETRY_BOUNDS
    const ahead = Math.max(1, this.scheduler.waiting.length / 2)
    return Math.round(Math.min(most, Math.max(least, (this.msPerFinish ?? 1000) * ahead)))
  }
}
