import { EventEmitter } from 'node:events'
import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { EngineConfig } from '../engine/messages.js'
import type { DrainResult } from './engine-client.js'
import type { ModelEvents } from './events.js'
import { SupervisedModel } from './supervisor.js'
import type { SupervisorOptions } from './supervisor-options.js'
import { type Models, ModelUnavailableError } from './types.js'

export interface ModelOptions {
  /** Its name in the API. */
  id: string
  /** Further names; `*` answers to any name. */
  aliases?: readonly string[]
  config: EngineConfig
}

export interface ModelsOptions extends Omit<SupervisorOptions, 'entry' | 'events'> {
  /** At least one; nothing is loaded yet. */
  models: readonly ModelOptions[]
  /** Id of the model that answers where none is named; the first by default. */
  default?: string
  /** The engine's program; Octavo's own by default. */
  entry?: string
}

/** All models this server can serve, each under supervision. */
export interface ModelRegistry extends Models {
  readonly events: EventEmitter<ModelEvents>
  list(): SupervisedModel[]
  find(name: string | undefined): SupervisedModel | undefined
  /**
   * Loads a model now, the default one when none is named. `onProgress` gets 0..1.
   * @throws ModelUnavailableError
   */
  load(name?: string, onProgress?: (fraction: number) => void): Promise<SupervisedModel>
}

/** @throws Error when there is no model, two share a name, or the default is not among them. */
export function createModels(options: ModelsOptions): ModelRegistry {
  const events = new EventEmitter<ModelEvents>()
  // Every load that shows its progress listens; that is not a leak.
  events.setMaxListeners(0)
  const entry = options.entry ?? fileURLToPath(new URL('../engine/main.js', import.meta.url))
  const models = options.models.map(
    model =>
      new SupervisedModel({ ...model, created: created(model.config.model) }, { ...options, entry, events })
  )
  const names = byName(models)
  const standard = options.default === undefined ? models[0] : names.get(options.default)
  if (standard === undefined)
    throw new Error(`default model not found: ${options.default ?? 'there is no model'}`)

  const find = (name: string | undefined) => {
    if (name === undefined) return standard
    return names.get(name) ?? (name === 'default' ? standard : names.get('*'))
  }

  return {
    events,
    list: () => models,
    find,
    async load(name, onProgress = () => {}) {
      const model = find(name)
      if (model === undefined) {
        throw new ModelUnavailableError(
          { code: 'model_not_found', message: `no model is called ${name}` },
          null
        )
      }
      const report = (event: { model: unknown; fraction: number }) => {
        if (event.model === model) onProgress(event.fraction)
      }
      events.on('progress', report)
      try {
        await model.load()
        return model
      } finally {
        events.off('progress', report)
      }
    },
    async drain(limit) {
      return sum(await Promise.all(models.map(model => model.close(limit))))
    }
  }
}

function byName(models: SupervisedModel[]): Map<string, SupervisedModel> {
  const names = new Map<string, SupervisedModel>()
  for (const model of models) {
    for (const name of new Set([model.id, ...model.aliases])) {
      if (names.has(name)) throw new Error(`two models answer to the name ${name}`)
      names.set(name, model)
    }
  }
  return names
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

/** Unix seconds: when the model's file was made; now where there is none (yet). */
function created(file: string): number {
  const at = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
  return Math.floor(at / 1000)
}
