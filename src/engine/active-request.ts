import type { Backend, Sampler } from './backend.js'
import type { Matcher } from './constraint/matcher.js'
import type { CompiledConstraint } from './constraint/service.js'
import type { CachedTokens, GenerationRequest, RequestTimings, RequestUsage } from './messages.js'
import type { TokenizedPrompt } from './prompt.js'
import { Stream } from './scheduler/stream.js'
import { Answer } from './text/answer.js'

/** One of a request's answers. */
export class Choice {
  readonly answer: Answer
  sampler: Sampler | null = null
  matcher: Matcher | null = null
  /** No further token is wanted; its cells go at the end of the step. */
  done = false

  constructor(
    readonly request: ActiveRequest,
    readonly index: number,
    readonly stream: Stream
  ) {
    this.answer = new Answer(request.params.stop)
  }

  /** Gives native memory and the constraint's thread back. */
  free(): void {
    this.sampler?.free()
    this.matcher?.free()
    this.sampler = null
    this.matcher = null
  }
}

/** An admitted request and the streams that make its answers. */
export class ActiveRequest {
  readonly choices: Choice[]

  constructor(
    readonly id: number,
    readonly params: GenerationRequest,
    readonly arrived: number,
    readonly prompt: TokenizedPrompt,
    readonly constraint: CompiledConstraint | null
  ) {
    const readsPrompt = params.promptLogprobs != null
    this.choices = Array.from({ length: params.choices }, (_, index) => {
      const stream = new Stream({
        promptTokens: prompt.tokens,
        salt: params.salt,
        tenant: params.tenant,
        priority: params.priority,
        arrived,
        maxTokens: params.maxTokens,
        // A stream that takes from the cache has no logits to read.
        cachePrompt: params.cachePrompt && !readsPrompt,
        readsPrompt: readsPrompt && index === 0,
        reproducible: params.reproducible,
        anchors: prompt.anchors
      })
      return new Choice(this, index, stream)
    })
  }

  get done(): boolean {
    return this.choices.every(choice => choice.done)
  }

  get first(): Stream {
    return (this.choices[0] as Choice).stream
  }

  get cached(): CachedTokens {
    const { cached, restored, missReason } = this.first
    const tokens = { resident: cached, ram: restored.ram, disk: restored.disk }
    if (!this.first.cachePrompt) return { ...tokens, miss: 'disabled' }
    const all = cached + restored.ram + restored.disk
    const miss = missReason ?? (all === 0 ? 'new' : undefined)
    return miss === undefined ? tokens : { ...tokens, miss }
  }

  usage(): RequestUsage {
    const completionTokens = this.choices.reduce((sum, choice) => sum + choice.stream.generated, 0)
    return { promptTokens: this.prompt.tokens.length, completionTokens, cached: this.cached }
  }

  timings(now: number): RequestTimings {
    const { startedAt, prefilledAt, firstTokenAt } = this.first
    return {
      queueMs: (startedAt ?? now) - this.arrived,
      prefillMs: startedAt === null ? 0 : (prefilledAt ?? now) - startedAt,
      firstTokenMs: (firstTokenAt ?? now) - this.arrived,
      totalMs: now - this.arrived
    }
  }
}

/** A choice's random state: every choice draws from a seed of its own. */
export function createSampler(backend: Backend, choice: Choice, bans: readonly number[]): Sampler {
  const { sampling, ignoreEndOfText } = choice.request.params
  const sampler = backend.createSampler({
    ...sampling,
    seed: (sampling.seed + choice.index) >>> 0,
    logitBias: ignoreEndOfText
      ? [...sampling.logitBias, ...bans.map(token => ({ token, bias: null }))]
      : sampling.logitBias
  })
  // llama.cpp's repetition penalty looks at the prompt as well, OpenAI's two only at the answer.
  if (sampling.repeatPenalty !== 1 && sampling.repeatLastN !== 0) {
    const { tokens, promptLength } = choice.stream
    const from = sampling.repeatLastN < 0 ? 0 : Math.max(0, promptLength - sampling.repeatLastN)
    for (const token of tokens.view(from, promptLength)) sampler.accept(token)
  }
  return sampler
}
