import type { Backend } from '../../src/engine/backend.js'
import { Engine } from '../../src/engine/engine.js'
import type { EngineConfig, FromEngine, GenerationRequest, RequestEvent } from '../../src/engine/messages.js'
import { plainRequest } from '../../src/engine/plain-request.js'
import type { TierStore } from '../../src/engine/tiers/store.js'

export const baseConfig: EngineConfig = {
  model: '',
  contextCells: 1024,
  parallel: 8,
  batchRows: 64,
  threads: 1,
  gpuLayers: 0,
  cacheTypeK: 'f16',
  cacheTypeV: 'f16',
  flashAttention: 'auto',
  blockSize: 16,
  maxQueue: 1000,
  maxQueuedTokens: null,
  reproducible: false,
  checkEveryStep: true
}

export function request(
  prompt: string | number[],
  overrides: Partial<GenerationRequest> = {}
): GenerationRequest {
  return {
    ...plainRequest,
    prompt: [
      typeof prompt === 'string'
        ? { type: 'text', text: prompt, addSpecial: false, parseSpecial: true }
        : { type: 'tokens', tokens: prompt }
    ],
    maxTokens: 16,
    sampling: { ...plainRequest.sampling, repeatLastN: 64, seed: 1 },
    cachePrompt: true,
    ...overrides
  }
}

/** What became of a request. */
export interface Outcome {
  events: RequestEvent[]
  text: string[]
  finish: string[]
}

/** An engine in this process, with promises around its events. */
export class EngineHarness {
  private nextId = 1
  private readonly listeners = new Map<number, (event: RequestEvent) => void>()
  private running: Promise<void> = Promise.resolve()
  engine!: Engine

  static async start(
    backend: Backend,
    config: Partial<EngineConfig> = {},
    store: TierStore | null = null
  ): Promise<EngineHarness> {
    const harness = new EngineHarness()
    harness.engine = await Engine.create(
      backend,
      { ...baseConfig, ...config },
      message => harness.receive(message),
      store
    )
    harness.running = harness.engine.run()
    return harness
  }

  submit(
    params: GenerationRequest,
    onEvent: (event: RequestEvent) => void = () => {}
  ): { id: number; done: Promise<Outcome> } {
    const id = this.nextId++
    const outcome: Outcome = { events: [], text: [], finish: [] }
    const done = new Promise<Outcome>(resolve => {
      this.listeners.set(id, event => {
        outcome.events.push(event)
        if (event.type === 'text')
          outcome.text[event.choice] = (outcome.text[event.choice] ?? '') + event.text
        if (event.type === 'finish') outcome.finish[event.choice] = event.reason
        onEvent(event)
        const refused = event.type === 'verdict' && event.verdict.kind !== 'admitted'
        if (event.type === 'end' || event.type === 'failed' || refused) {
          this.listeners.delete(id)
          resolve(outcome)
        }
      })
    })
    this.engine.submit(id, params)
    return { id, done }
  }

  run(params: GenerationRequest): Promise<Outcome> {
    return this.submit(params).done
  }

  cancel(id: number): void {
    this.listeners.delete(id)
    this.engine.cancel(id)
  }

  /** Ends the loop; rejects when the loop failed (wrong accounting, for one). */
  async stop(): Promise<void> {
    this.engine.stop()
    await this.running
  }

  /** Rejects when the loop fails while `work` is under way. */
  async guard<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.running.then(() => new Promise<never>(() => {}))])
  }

  private receive(message: FromEngine): void {
    if (message.type !== 'events') return
    for (const event of message.events) this.listeners.get(event.id)?.(event)
  }
}

export function cachedOf(outcome: Outcome): number {
  const end = outcome.events.find(event => event.type === 'end')
  return end?.type === 'end' ? end.usage.cached.resident : -1
}

/** How far apart the reference's two best tokens are where two answers part; null when they do not. */
export function gapAtFirstDifference(reference: Outcome, other: Outcome): number | null {
  const tokensOf = (outcome: Outcome) =>
    outcome.events.flatMap(event => (event.type === 'text' ? (event.logprobs ?? []) : []))
  const left = tokensOf(reference)
  const right = tokensOf(other)
  const at = left.findIndex((entry, i) => entry.token !== right[i]?.token)
  if (at === -1) return null
  const [best, second] = left[at]!.top
  return best!.logprob - second!.logprob
}
