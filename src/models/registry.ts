import { EventEmitter } from 'node:events'
import { fileURLToPath } from 'node:url'
import { VocabularyService } from '../vocabulary/service.js'
import { systemClock } from './clock.js'
import type { DrainResult } from './engine-client.js'
import type { ModelEvents } from './events.js'
import { HostedModel } from './hosted-model.js'
import { defaultHostingTimes, type HostingTimes, type ModelOptions } from './hosting-options.js'
import { LoadTimes } from './load-times.js'
import { Names } from './names.js'
import { type MemoryUse, Residency } from './residency.js'
import type { SupervisorOptions } from './supervisor-options.js'
import { Swapper, type SwapResult } from './swap.js'
import { type Models, ModelUnavailableError } from './types.js'

export type { ModelOptions, ModelPlan } from './hosting-options.js'

export interface ModelsOptions extends Omit<SupervisorOptions, 'entry' | 'events'> {
  /** At least one; nothing is loaded yet. */
  models: readonly ModelOptions[]
  /** Name of the model that answers where none is named; the first by default. */
  default?: string
  /** The engine's program; Octavo's own by default. */
  entry?: string
  /** Bytes that all loaded models together may take; no limit by default. */
  memoryBudget?: () => number
  times?: Partial<HostingTimes>
}

/** All models this server can serve: which are loaded, and how they come and go. */
export interface ModelRegistry extends Models {
  readonly events: EventEmitter<ModelEvents>
  readonly memory: MemoryUse
  readonly draining: boolean
  readonly swapping: boolean
  list(): HostedModel[]
  /** The model that a name means now; unlike `find`, a later swap does not change it. */
  get(name: string): HostedModel | undefined
  readonly default: HostedModel
  /**
   * Loads a model now, the default one when none is named. `onProgress` gets 0..1.
   * @throws ModelUnavailableError
   */
  load(name?: string, onProgress?: (fraction: number) => void): Promise<HostedModel>
  /** See Swapper. @throws SwapError */
  swap(from: string, to: string, alias: string | undefined, timeoutMs: number): Promise<SwapResult>
}

/** @throws Error when there is no model, two share a name, or the default is not among them. */
export function createModels(options: ModelsOptions): ModelRegistry {
  const events = new EventEmitter<ModelEvents>()
  // Every model listens, and every load that shows its progress; that is not a leak.
  events.setMaxListeners(0)
  const entry = options.entry ?? fileURLToPath(new URL('../engine/main.js', import.meta.url))
  const supervision = { ...options, entry, events }
  const residency = new Residency(options.memoryBudget ?? (() => Number.POSITIVE_INFINITY), options.logger)
  const times = { ...defaultHostingTimes, ...options.times }
  const vocabularies = new VocabularyService(options.logger)
  const shared = { residency, loadTimes: new LoadTimes(), times, vocabularies }
  const models = options.models.map(model => new HostedModel(model, supervision, shared))
  const names = new Names(
    models.map((model, at) => ({ model, aliases: options.models[at]!.aliases ?? [] })),
    options.default
  )
  const clock = options.clock ?? systemClock
  const swapper = new Swapper({ names, residency, logger: options.logger, now: () => clock.now() })
  let draining = false

  return {
    events,
    get memory() {
      return residency.use
    },
    get draining() {
      return draining
    },
    get swapping() {
      return swapper.swapping
    },
    get default() {
      return names.standard
    },
    list: () => models,
    get: name => names.get(name),
    find: name => names.find(name),
    async load(name, onProgress = () => {}) {
      const model = name === undefined ? names.standard : names.get(name)
      if (model === undefined) {
        throw new ModelUnavailableError(
          { code: 'model_not_found', message: `no model is called ${name}` },
          null
        )
      }
      const report = (event: { model: { id: string }; fraction: number }) => {
        if (event.model.id === model.id) onProgress(event.fraction)
      }
      events.on('progress', report)
      try {
        await model.load()
        return model
      } finally {
        events.off('progress', report)
      }
    },
    swap: (from, to, alias, timeoutMs) => swapper.swap(from, to, alias, timeoutMs),
    async drain(limit) {
      draining = true
      vocabularies.close()
      return sum(await Promise.all(models.map(model => model.close(limit))))
    }
  }
}

function sum(results: DrainResult[]): DrainResult {
  const total: DrainResult = { finished: 0, aborted: 0, spilledBytes: 0 }
  for (const result of results) {
    total.finished += result.finished
    total.aborted += result.aborted
    total.spilledBytes += result.spilledBytes
  }
  return total
}
