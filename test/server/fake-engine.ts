/** A model and its engine without either: deterministic answers, and every refusal and failure on demand. */
import type { Capabilities, ModelInfo } from '../../src/engine/backend.js'
import type {
  EngineCalls,
  EngineMethod,
  FailureCode,
  GenerationRequest,
  RequestEvent,
  RequestUsage,
  TokenLogprob,
  Verdict
} from '../../src/engine/messages.js'
import type { Engine, Generation, Model, Models } from '../../src/models/types.js'

export interface FakeScript {
  /** Answer of a choice, as tokens. Default: a fixed sentence, other for each choice. */
  tokens: (request: GenerationRequest, choice: number) => string[]
  /** Overrides what the fake would say itself (tooLong beyond `limit`, else admitted). */
  verdict: ((request: GenerationRequest) => Verdict | undefined) | null
  /** Most prompt tokens (4 characters each). */
  limit: number
  /** Nothing is generated before it resolves. */
  hold: Promise<void>
  /** Milliseconds before the first token, and between tokens (0: next turn of the event loop). */
  firstTokenMs: number
  tokenMs: number
  /** Fail instead of sending token number `afterTokens`; -1: instead of a verdict. */
  fail: { code: FailureCode; afterTokens: number } | null
  /** Prompt tokens reported as cached. */
  cached: number
}

export const fakeInfo: ModelInfo = {
  path: '/models/fake.gguf',
  name: 'fake',
  description: 'fake 1M',
  architecture: 'llama',
  parameters: 1_000_000,
  bytes: 1_000_000,
  trainingContext: 2048,
  embeddingLength: 64,
  vocabularySize: 1000,
  chatTemplate: null,
  bosText: '',
  eosText: '<|im_end|>',
  addsBos: false,
  tokenizer: 'gpt2',
  device: 'CPU',
  libraryVersion: '0',
  fingerprint: '0123456789abcdef0123'
}

const fakeCapabilities: Capabilities = {
  layout: 'unified',
  sharesCells: true,
  joinsBlobs: true,
  memory: 'attention',
  window: 0,
  cells: 4096,
  cellsPerSequence: 2048,
  sequenceIds: 16,
  batchRows: 512,
  outputRows: 512,
  invariantRows: 1,
  bytesPerCell: 1024
}

const sentences = [
  ['The', ' quick', ' brown', ' fox', ' jumps', ' over', ' the', ' lazy', ' dog', '.'],
  ['A', ' ca', 'fé', ' on', ' the', ' 🦊', ' corner', '.']
]

/** One request as the fake saw it. */
export class FakeGeneration implements Generation {
  cancelled = false
  paused = false
  pauses = 0
  sent = 0
  #wake: (() => void) | undefined

  constructor(readonly request: GenerationRequest) {}

  cancel(): void {
    this.cancelled = true
    this.#wake?.()
  }

  pause(): void {
    this.paused = true
    this.pauses += 1
  }

  resume(): void {
    this.paused = false
    this.#wake?.()
  }

  /** Ends early on `cancel`, so that no timer outlives its test. */
  wait(ms: number): Promise<void> {
    return new Promise(resolve => {
      if (ms <= 0) {
        setImmediate(resolve)
        return
      }
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        if (!this.cancelled) return
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async whilePaused(): Promise<void> {
    while (this.paused && !this.cancelled) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }
}

export class FakeEngine implements Engine {
  readonly generations: FakeGeneration[] = []
  readonly script: FakeScript = {
    tokens: (_request, choice) => sentences[choice % sentences.length] as string[],
    verdict: null,
    limit: 1000,
    hold: Promise.resolve(),
    firstTokenMs: 0,
    tokenMs: 0,
    fail: null,
    cached: 0
  }
  #next = 0

  get last(): FakeGeneration {
    const generation = this.generations.at(-1)
    if (!generation) throw new Error('nothing was submitted')
    return generation
  }

  submit(request: GenerationRequest, onEvent: (event: RequestEvent) => void): Generation {
    const generation = new FakeGeneration(structuredClone(request))
    this.generations.push(generation)
    const id = this.#next++
    const emit = (event: RequestEvent) => {
      if (!generation.cancelled) onEvent(event)
    }
    void this.#run(id, generation, emit)
    return generation
  }

  async #run(id: number, generation: FakeGeneration, emit: (event: RequestEvent) => void): Promise<void> {
    const { request } = generation
    const { script } = this
    const promptTokens = Math.ceil(promptText(request).length / 4)
    const cached = { resident: Math.min(script.cached, promptTokens), ram: 0, disk: 0 }
    const usage: RequestUsage = { promptTokens, completionTokens: 0, cached }
    const fail = () => {
      const code = script.fail?.code ?? 'engine_error'
      emit({ type: 'failed', id, code, message: `made up: ${code}`, usage })
    }
    await generation.wait(0)
    if (script.fail?.afterTokens === -1) return fail()
    const verdict = script.verdict?.(request) ?? this.#verdict(promptTokens)
    emit({ type: 'verdict', id, verdict })
    if (verdict.kind !== 'admitted') return
    emit({ type: 'started', id, cached })
    tellPrompt(id, request, emit)
    await script.hold
    await generation.wait(script.firstTokenMs)

    const choices = Array.from({ length: request.choices }, (_, choice) => ({
      choice,
      tokens: script.tokens(request, choice),
      text: '',
      done: false
    }))
    for (let step = 0; choices.some(choice => !choice.done); step += 1) {
      if (script.fail && step >= script.fail.afterTokens) return fail()
      for (const state of choices) {
        if (state.done) continue
        const token = state.tokens[step]
        const stop = request.stop.find(stop => token !== undefined && (state.text + token).includes(stop))
        if (token === undefined || stop !== undefined) {
          state.done = true
          emit({ type: 'finish', id, choice: state.choice, reason: 'stop', stop: stop ?? null })
          continue
        }
        state.text += token
        usage.completionTokens += 1
        generation.sent += 1
        const logprobs = request.logprobs === null ? {} : { logprobs: [fakeLogprob(token, request.logprobs)] }
        emit({ type: 'text', id, choice: state.choice, text: token, tokens: 1, ...logprobs })
        if (request.maxTokens !== null && step + 1 >= request.maxTokens) {
          state.done = true
          emit({ type: 'finish', id, choice: state.choice, reason: 'length', stop: null })
        }
      }
      if (script.tokenMs > 0 || step % 4 === 3) await generation.wait(script.tokenMs)
      await generation.whilePaused()
      if (generation.cancelled) return
    }
    const timings = { queueMs: 0, prefillMs: 0, firstTokenMs: 0, totalMs: 0 }
    emit({ type: 'end', id, usage, timings })
  }

  #verdict(promptTokens: number): Verdict {
    const { limit } = this.script
    return promptTokens > limit
      ? { kind: 'tooLong', promptTokens, limit }
      : { kind: 'admitted', promptTokens }
  }

  async call<M extends EngineMethod>(
    method: M,
    params: EngineCalls[M]['params']
  ): Promise<EngineCalls[M]['result']> {
    if (method === 'tokenize') {
      const { text } = params as EngineCalls['tokenize']['params']
      return Array.from(
        { length: Math.ceil(text.length / 4) },
        (_, index) => index
      ) as EngineCalls[M]['result']
    }
    if (method === 'detokenize') {
      const { tokens } = params as EngineCalls['detokenize']['params']
      return String.fromCharCode(...tokens) as EngineCalls[M]['result']
    }
    if (method === 'pieces') {
      const { tokens } = params as EngineCalls['pieces']['params']
      const bytes = tokens.map(token => [...Buffer.from(String.fromCharCode(token))])
      return bytes as EngineCalls[M]['result']
    }
    return Promise.reject(new Error(`the fake engine has no ${method}`))
  }
}

export interface FakeModel extends Model {
  state: Model['state']
  info: ModelInfo | null
  failure: Model['failure']
  engine: () => Promise<Engine>
}

export interface FakeModels extends Models {
  readonly engine: FakeEngine
  readonly model: FakeModel
}

/** One model `fake`, ready, and the default. */
export function fakeModels(info: Partial<ModelInfo> = {}): FakeModels {
  const engine = new FakeEngine()
  const model: FakeModel = {
    id: 'fake',
    aliases: [],
    created: 1_700_000_000,
    state: 'ready',
    progress: 1,
    loading: null,
    failure: null,
    info: { ...fakeInfo, ...info },
    capabilities: fakeCapabilities,
    stats: null,
    restarts: 0,
    engine: async () => engine
  }
  return {
    engine,
    model,
    list: () => [model],
    find: name => (name === undefined || name === 'default' || name === 'fake' ? model : undefined),
    drain: async () => ({ finished: 0, aborted: 0, spilledBytes: 0 })
  }
}

/** A token per character, in two events. */
function tellPrompt(id: number, request: GenerationRequest, emit: (event: RequestEvent) => void): void {
  if (request.promptLogprobs == null) return
  const characters = request.prompt.flatMap(segment =>
    segment.type === 'text' ? [...segment.text] : segment.tokens.map(token => String.fromCharCode(token))
  )
  const logprobs = characters.map((character, index) => {
    const entry = fakeLogprob(character, request.promptLogprobs ?? 0)
    return index > 0 ? entry : { ...entry, logprob: null, top: [] }
  })
  emit({ type: 'prompt', id, prompt: 0, logprobs: logprobs.slice(0, 1), last: logprobs.length === 1 })
  if (logprobs.length > 1) emit({ type: 'prompt', id, prompt: 0, logprobs: logprobs.slice(1), last: true })
}

function promptText(request: GenerationRequest): string {
  return request.prompt.map(segment => (segment.type === 'text' ? segment.text : '')).join('')
}

function fakeLogprob(token: string, alternatives: number): TokenLogprob {
  const entry = (text: string, logprob: number) => ({
    token: text.length,
    bytes: [...Buffer.from(text)],
    logprob
  })
  const top = Array.from({ length: alternatives }, (_, rank) =>
    entry(rank === 0 ? token : `alt${rank}`, -0.1 - rank)
  )
  return { ...entry(token, -0.1), top }
}
