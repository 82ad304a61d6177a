import type { EventEmitter } from 'node:events'
import type { FixedHistogram } from '../../engine/histogram.js'
import type { BreakerState } from '../../models/breaker.js'
import type { ModelEvents } from '../../models/events.js'
import type { HistogramName } from './definitions.js'
import { EngineTotals } from './engine-totals.js'
import { countUp } from './model-counts.js'

/** What happened to one model, over all its engine processes. */
export class WatchedModel {
  readonly totals = new EngineTotals()
  breaker: BreakerState = 'closed'
  /** By result. */
  readonly loads = new Map<string, number>()
  readonly verifications = new Map<string, number>()
  /** By the state that was gone into. */
  readonly stateChanges = new Map<string, number>()
  readonly breakerChanges = new Map<string, number>()
  readonly loadTimes: FixedHistogram
  readonly verificationTimes: FixedHistogram
  #loadingSince = 0

  constructor(histogram: (name: HistogramName) => FixedHistogram) {
    this.loadTimes = histogram('model_load_seconds')
    this.verificationTimes = histogram('model_verification_seconds')
  }

  state({ from, to, failure }: Omit<ModelEvents['state'][0], 'model'>): void {
    countUp(this.stateChanges, to)
    if (to === 'loading') {
      this.totals.restarted()
      this.#loadingSince = performance.now()
    } else if (from === 'loading') {
      if (to === 'ready') this.loadTimes.observe((performance.now() - this.#loadingSince) / 1000)
      const result = to === 'ready' ? 'success' : to === 'failed' ? (failure?.code ?? 'failed') : 'abandoned'
      countUp(this.loads, result)
    }
  }

  verified(ok: boolean, ms: number): void {
    countUp(this.verifications, ok ? 'success' : 'failure')
    if (ok) this.verificationTimes.observe(ms / 1000)
  }
}

/** Passes the events of a registry of models on to `find(id)`. @returns a function that ends it */
export function watchModels(
  events: EventEmitter<ModelEvents>,
  find: (id: string) => WatchedModel
): () => void {
  const onState = (event: ModelEvents['state'][0]) => find(event.model.id).state(event)
  const onStats = ({ model, stats }: ModelEvents['stats'][0]) => find(model.id).totals.read(stats)
  const onBreaker = ({ model, to }: ModelEvents['breaker'][0]) => {
    const watched = find(model.id)
    watched.breaker = to
    countUp(watched.breakerChanges, to)
  }
  const onVerified = ({ model, ok, ms }: ModelEvents['verified'][0]) => find(model.id).verified(ok, ms)
  events.on('state', onState).on('stats', onStats).on('breaker', onBreaker).on('verified', onVerified)
  return () => {
    events.off('state', onState).off('stats', onStats).off('breaker', onBreaker).off('verified', onVerified)
  }
}
