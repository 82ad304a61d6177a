import type { FixedHistogram } from '../../engine/histogram.js'
import type { CachedTokens } from '../../engine/messages.js'
import type { HistogramName } from './definitions.js'

const tiers = ['resident', 'ram', 'disk'] as const

/** What happened to the requests of one model. Plain numbers: they are counted up for every piece of text. */
export class ModelCounts {
  submitted = 0
  promptTokens = 0
  generatedTokens = 0
  queriedTokens = 0
  cancelled = 0
  failed = 0
  readonly hits: Record<(typeof tiers)[number], number> = { resident: 0, ram: 0, disk: 0 }
  /** By reason. */
  readonly misses = new Map<string, number>()
  readonly rejected = new Map<string, number>()
  readonly finished = new Map<string, number>()
  readonly firstToken: FixedHistogram
  readonly gap: FixedHistogram
  readonly queued: FixedHistogram
  readonly prefill: FixedHistogram
  readonly decode: FixedHistogram
  readonly total: FixedHistogram
  readonly promptLength: FixedHistogram
  readonly answerLength: FixedHistogram

  constructor(histogram: (name: HistogramName) => FixedHistogram) {
    this.firstToken = histogram('time_to_first_token_seconds')
    this.gap = histogram('inter_token_latency_seconds')
    this.queued = histogram('request_queue_time_seconds')
    this.prefill = histogram('request_prefill_time_seconds')
    this.decode = histogram('request_decode_time_seconds')
    this.total = histogram('e2e_request_latency_seconds')
    this.promptLength = histogram('request_prompt_tokens')
    this.answerLength = histogram('request_generation_tokens')
  }

  get hitTokens(): number {
    return tiers.reduce((sum, tier) => sum + this.hits[tier], 0)
  }

  /** A prompt was looked up in the cache (or was not to be). */
  lookedUp(promptTokens: number, cached: CachedTokens): void {
    if (cached.miss !== undefined) countUp(this.misses, cached.miss)
    if (cached.miss === 'disabled') return
    this.queriedTokens += promptTokens
    for (const tier of tiers) this.hits[tier] += cached[tier]
  }
}

export function countUp(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
