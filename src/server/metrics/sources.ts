import type { EngineStats } from '../../engine/messages.js'
import type { ModelState } from '../../models/types.js'
import type { ModelCounts } from './model-counts.js'
import type { WatchedModel } from './model-watch.js'
import type { Sample, Sources } from './registry.js'

/** All that is known of one name of a model. */
export interface ModelEntry {
  id: string
  counts: ModelCounts
  watched: WatchedModel
  /** What its engine reported last; null when there is none. */
  stats: EngineStats | null
  state: ModelState
}

const breakerStates = ['closed', 'half_open', 'open'] as const
const modelStates = ['unloaded', 'loading', 'ready', 'draining', 'failed'] as const
const rejections = ['queue', 'queued_tokens', 'pool', 'too_long', 'draining', 'invalid']

/** Where each metric about models is read when somebody asks. What never happened is 0, not absent, where possible. */
export function modelSources(all: () => ModelEntry[]): Sources {
  const each = (read: (entry: ModelEntry) => number) => () =>
    all().map(entry => ({ labels: { model_name: entry.id }, value: read(entry) }))
  const by =
    (label: string, read: (entry: ModelEntry) => Iterable<readonly [string, number]>) => (): Sample[] =>
      all().flatMap(entry =>
        Array.from(read(entry), ([key, value]) => ({ labels: { model_name: entry.id, [label]: key }, value }))
      )
  const blocks = (stats: EngineStats | null, cells: keyof EngineStats['pool']) =>
    stats ? Math.ceil(stats.pool[cells] / stats.pool.blockSize) : 0

  return {
    counters: {
      request_success_total: by('finished_reason', ({ counts }) =>
        atLeast(['stop', 'length'], counts.finished)
      ),
      requests_rejected_total: by('reason', ({ counts }) => atLeast(rejections, counts.rejected)),
      requests_cancelled_total: each(({ counts }) => counts.cancelled),
      prompt_tokens_total: each(({ counts }) => counts.promptTokens),
      generation_tokens_total: each(({ counts }) => counts.generatedTokens),
      prompt_tokens_computed_total: each(({ watched }) => watched.totals.computedTokens.total),
      num_preemptions_total: each(({ watched }) => watched.totals.preemptions.total),
      kv_cache_evicted_tokens_total: each(({ watched }) => watched.totals.evictedTokens.total),
      prefix_cache_queries_total: each(({ counts }) => counts.queriedTokens),
      prefix_cache_hits_total: each(({ counts }) => counts.hitTokens),
      prefix_cache_tier_hits_total: by('tier', ({ counts }) => Object.entries(counts.hits)),
      prefix_cache_misses_total: by('reason', ({ counts }) => counts.misses),
      cache_spilled_bytes_total: by('tier', ({ watched }) =>
        watched.totals.tiers.map(({ tier, spilled }) => [tier, spilled] as const)
      ),
      cache_restored_bytes_total: by('tier', ({ watched }) =>
        watched.totals.tiers.map(({ tier, restored }) => [tier, restored] as const)
      ),
      model_loads_total: by('result', ({ watched }) => atLeast(['success'], watched.loads)),
      model_verifications_total: by('result', ({ watched }) =>
        atLeast(['success', 'failure'], watched.verifications)
      ),
      model_state_changes_total: by('state', ({ watched }) => atLeast(modelStates, watched.stateChanges)),
      model_breaker_changes_total: by('state', ({ watched }) =>
        atLeast(breakerStates, watched.breakerChanges)
      ),
      engine_restarts_total: each(({ watched }) => watched.totals.restarts.total)
    },
    gauges: {
      num_requests_running: each(({ stats }) => stats?.running ?? 0),
      num_requests_waiting: each(({ stats }) => stats?.waiting ?? 0),
      waiting_prompt_tokens: each(({ stats }) => stats?.waitingTokens ?? 0),
      kv_cache_usage_perc: each(({ stats }) =>
        stats ? (stats.pool.usedCells - stats.pool.idleCells) / stats.pool.cells : 0
      ),
      kv_cache_blocks: each(({ stats }) => blocks(stats, 'cells')),
      kv_cache_used_blocks: each(({ stats }) => blocks(stats, 'usedCells')),
      kv_cache_idle_blocks: each(({ stats }) => blocks(stats, 'idleCells')),
      kv_cache_sequence_ids_used: each(({ stats }) => stats?.pool.usedSequenceIds ?? 0),
      cache_tier_bytes: by('tier', ({ stats }) =>
        Object.entries(stats?.tiers ?? {}).map(([tier, { used }]) => [tier, used] as const)
      ),
      models_loaded: () => [{ labels: {}, value: all().filter(({ state }) => state === 'ready').length }],
      model_breaker_state: by('state', ({ watched }) =>
        breakerStates.map(state => [state, state === watched.breaker ? 1 : 0] as const)
      ),
      model_state: by('state', entry =>
        modelStates.map(state => [state, state === entry.state ? 1 : 0] as const)
      ),
      engine_resident_memory_bytes: each(({ stats }) => stats?.memoryBytes ?? 0)
    },
    histograms: {
      step_time_seconds: () =>
        all().flatMap(({ id, watched }) => {
          const histogram = watched.totals.stepTimes.total
          if (histogram === null) return []
          const bounds = histogram.bounds.map(ms => ms / 1000)
          return [
            { labels: { model_name: id }, histogram: { ...histogram, bounds, sum: histogram.sum / 1000 } }
          ]
        })
    }
  }
}

function atLeast(keys: readonly string[], counts: ReadonlyMap<string, number>): Map<string, number> {
  return new Map([...keys.map(key => [key, 0] as const), ...counts])
}
