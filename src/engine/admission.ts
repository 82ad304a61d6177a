import type { Capabilities } from './backend.js'
import type { EngineConfig, GenerationRequest, QueueState, Verdict } from './messages.js'
import { ReturnTimes } from './return-times.js'
import type { Scheduler } from './scheduler/scheduler.js'

/** Decides on arrival whether a request may wait for its turn. Verdicts are values: HTTP is only one way in. */
export class Admission {
  draining = false
  /** Requests whose prompt is being tokenized: they count as waiting. */
  arriving = 0
  private readonly returns: ReturnTimes

  constructor(
    private readonly scheduler: Scheduler,
    private readonly config: Pick<EngineConfig, 'maxQueue' | 'maxQueuedTokens'>,
    private readonly capabilities: Capabilities,
    private readonly vocabularySize: number,
    now: () => number
  ) {
    this.returns = new ReturnTimes(now)
  }

  /** What can be said before the prompt is tokenized; null: go on. */
  onArrival(request: GenerationRequest): Verdict | null {
    if (this.draining)
      return { kind: 'draining', retryAfterMs: this.returns.halfDrained(this.scheduler.waiting.length) }
    if (this.queued() >= this.config.maxQueue) return this.full('queue')
    return biasRefusal(request.sampling, this.vocabularySize)
  }

  /** What its length says. */
  onTokenized(tokens: Int32Array): Verdict {
    const refusal = promptRefusal(tokens, this.vocabularySize, this.capabilities.cellsPerSequence)
    if (refusal !== null) return refusal
    const { maxQueuedTokens } = this.config
    if (
      maxQueuedTokens !== null &&
      this.queued() > 0 &&
      this.waitingTokens() + tokens.length > maxQueuedTokens
    ) {
      return this.full('queued_tokens')
    }
    if (this.scheduler.running.length + this.scheduler.waiting.length === 0) this.returns.onIdle()
    return { kind: 'admitted', promptTokens: tokens.length, queue: this.state() }
  }

  onFinish(): void {
    this.returns.onFinish()
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
    return {
      kind: 'full',
      retryAfterMs: this.returns.comeBack(this.scheduler.waiting.length),
      reason,
      queue: this.state()
    }
  }

  /** Prompt tokens of streams that have not started. */
  waitingTokens(): number {
    return this.scheduler.waiting.reduce((sum, stream) => sum + stream.tokens.length, 0)
  }

  /** Requests that cannot start now and must queue. */
  private queued(): number {
    return this.scheduler.waiting.length + this.arriving - this.scheduler.startable(this.arriving)
  }
}

/** What a bias on tokens says; null: nothing against it. */
export function biasRefusal(
  { logitBias }: Pick<GenerationRequest['sampling'], 'logitBias'>,
  vocabularySize: number
): Extract<Verdict, { kind: 'invalid' }> | null {
  for (const { token } of logitBias) {
    if (token < 0 || token >= vocabularySize) {
      return { kind: 'invalid', param: 'logit_bias', message: `token ${token} is not in the vocabulary` }
    }
  }
  return null
}

/** What a prompt's tokens say; null: nothing against them. @param limit most tokens of a sequence, with one to generate. */
export function promptRefusal(
  tokens: Int32Array,
  vocabularySize: number,
  limit: number
): Extract<Verdict, { kind: 'tooLong' } | { kind: 'invalid' }> | null {
  if (tokens.length === 0) return { kind: 'invalid', param: 'prompt', message: 'the prompt is empty' }
  if (tokens.some(token => token < 0 || token >= vocabularySize)) {
    return {
      kind: 'invalid',
      param: 'prompt',
      message: 'the prompt has a token that is not in the vocabulary'
    }
  }
  if (tokens.length >= limit) return { kind: 'tooLong', promptTokens: tokens.length, limit }
  return null
}
