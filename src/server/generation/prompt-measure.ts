import type {
  EngineCalls,
  EngineMethod,
  GenerationRequest,
  PromptSegment,
  RequestEvent
} from '../../engine/messages.js'
import type { Engine, Generation } from '../../models/types.js'

/** Tokens of a prompt as the engine will count them. */
export async function measurePrompt(engine: Engine, prompt: readonly PromptSegment[]): Promise<number> {
  let count = 0
  for (const segment of prompt) {
    count +=
      segment.type === 'tokens' ? segment.tokens.length : (await engine.call('tokenize', segment)).length
  }
  return count
}

/**
 * For requests that want no tokens at all (`max_tokens` 0: count, or echo, the prompts): an engine whose `submit`
 * measures and ends. The real one always generates at least one token.
 */
export class PromptMeasure implements Engine {
  constructor(
    private readonly engine: Engine,
    private readonly prompts: readonly PromptSegment[][],
    /** Most tokens of one prompt. */
    private readonly limit: number
  ) {}

  submit({ choices }: GenerationRequest, onEvent: (event: RequestEvent) => void): Generation {
    let cancelled = false
    const emit = (event: RequestEvent) => {
      if (!cancelled) onEvent(event)
    }
    this.#measure(choices, emit).catch(error => {
      emit({ type: 'failed', id: 0, code: 'engine_error', message: String(error), usage: null })
    })
    return {
      cancel: () => {
        cancelled = true
      },
      pause: () => {},
      resume: () => {}
    }
  }

  call<M extends EngineMethod>(
    method: M,
    params: EngineCalls[M]['params']
  ): Promise<EngineCalls[M]['result']> {
    return this.engine.call(method, params)
  }

  async #measure(choices: number, emit: (event: RequestEvent) => void): Promise<void> {
    const id = 0
    let promptTokens = 0
    for (const prompt of this.prompts) {
      const count = await measurePrompt(this.engine, prompt)
      if (count > this.limit) {
        emit({ type: 'verdict', id, verdict: { kind: 'tooLong', promptTokens: count, limit: this.limit } })
        return
      }
      promptTokens += count
    }
    emit({ type: 'verdict', id, verdict: { kind: 'admitted', promptTokens } })
    for (let choice = 0; choice < this.prompts.length * choices; choice += 1) {
      emit({ type: 'finish', id, choice, reason: 'length', stop: null })
    }
    const cached = { resident: 0, ram: 0, disk: 0 }
    const timings = { queueMs: 0, prefillMs: 0, firstTokenMs: 0, totalMs: 0 }
    emit({ type: 'end', id, usage: { promptTokens, completionTokens: 0, cached }, timings })
  }
}
