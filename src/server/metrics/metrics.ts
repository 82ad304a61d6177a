import type { EventEmitter } from 'node:events'
import type { ModelEvents } from '../../models/events.js'
import type { Models } from '../../models/types.js'
import { residentBytes } from '../../resident-memory.js'
import type { HistogramName } from './definitions.js'
import { Endpoints } from './endpoints.js'
import { EventLoopLag } from './event-loop.js'
import { ModelCounts } from './model-counts.js'
import { WatchedModel, watchModels } from './model-watch.js'
import { MetricsRegistry } from './registry.js'
import { type ModelEntry, modelSources } from './sources.js'

export interface MetricsOptions {
  /** Before the names of all metrics of `/metrics`. */
  prefix: string
  models: Models
  /** What happens to models; absent where they are made up. */
  events?: EventEmitter<ModelEvents>
}

/** Everything that is measured, for `/metrics` and `/stats`. */
export class Metrics {
  readonly registry: MetricsRegistry
  readonly endpoints = new Endpoints()
  idempotentJoins = 0
  slowClients = 0
  readonly #models: Models
  /** By model; kept when a model goes, so that no counter ever falls. */
  readonly #known = new Map<string, { counts: ModelCounts; watched: WatchedModel }>()
  readonly #lag = new EventLoopLag()
  readonly #stopWatching: () => void

  constructor({ prefix, models, events }: MetricsOptions) {
    this.#models = models
    const sources = modelSources(() => this.entries())
    this.registry = new MetricsRegistry(prefix, {
      ...sources,
      counters: {
        ...sources.counters,
        idempotent_joins_total: () => [{ labels: {}, value: this.idempotentJoins }],
        slow_clients_total: () => [{ labels: {}, value: this.slowClients }]
      },
      gauges: {
        ...sources.gauges,
        event_loop_lag_seconds: () => this.#lag.read(),
        process_resident_memory_bytes: () => [{ labels: {}, value: residentBytes() }],
        process_start_time_seconds: () => [{ labels: {}, value: Date.now() / 1000 - process.uptime() }]
      }
    })
    this.#stopWatching = events ? watchModels(events, id => this.#of(id).watched) : () => {}
  }

  /** The counts of a model's requests. */
  countsOf(id: string): ModelCounts {
    return this.#of(id).counts
  }

  /** Every model that is or was there, with what its engine says now. */
  entries(): ModelEntry[] {
    const models = new Map(this.#models.list().map(model => [model.id, model]))
    for (const [id, { stats, restarts }] of models) {
      const { totals } = this.#of(id).watched
      if (stats) totals.read(stats)
      totals.restarts.read(restarts)
    }
    return [...this.#known].map(([id, { counts, watched }]) => {
      const model = models.get(id)
      return { id, counts, watched, stats: model?.stats ?? null, state: model?.state ?? 'unloaded' }
    })
  }

  close(): void {
    this.#stopWatching()
    this.#lag.stop()
  }

  #of(id: string): { counts: ModelCounts; watched: WatchedModel } {
    let known = this.#known.get(id)
    if (!known) {
      const histogram = (name: HistogramName) => this.registry.histogram(name, { model_name: id })
      known = { counts: new ModelCounts(histogram), watched: new WatchedModel(histogram) }
      this.#known.set(id, known)
    }
    return known
  }
}
