import type { EngineStats, TierStats } from '../../engine/messages.js'
import { Monotonic, MonotonicHistogram } from './monotonic.js'

const tiers = ['ram', 'disk'] as const
export type LowerTier = (typeof tiers)[number]

/** What one model's engines have counted, over all their processes. */
export class EngineTotals {
  readonly computedTokens = new Monotonic()
  readonly evictedTokens = new Monotonic()
  readonly preemptions = new Monotonic()
  readonly restarts = new Monotonic()
  readonly stepTimes = new MonotonicHistogram()
  readonly #tiers = new Map<LowerTier, { spilled: Monotonic; restored: Monotonic }>()

  /** Tiers below the pool that were ever reported. */
  get tiers(): Array<{ tier: LowerTier; spilled: number; restored: number }> {
    return [...this.#tiers].map(([tier, { spilled, restored }]) => ({
      tier,
      spilled: spilled.total,
      restored: restored.total
    }))
  }

  read(stats: EngineStats): void {
    const { counters } = stats
    this.computedTokens.read(counters.promptTokens)
    this.evictedTokens.read(counters.evictedCells)
    this.preemptions.read(counters.preemptions)
    this.stepTimes.read(stats.stepTimes)
    for (const tier of tiers) {
      const figures = stats.tiers?.[tier]
      if (figures) this.#readTier(tier, figures)
    }
  }

  /** A new engine process counts from 0. */
  restarted(): void {
    for (const counter of [this.computedTokens, this.evictedTokens, this.preemptions, this.stepTimes]) {
      counter.restarted()
    }
    for (const { spilled, restored } of this.#tiers.values()) {
      spilled.restarted()
      restored.restarted()
    }
  }

  #readTier(tier: LowerTier, { spilled, restored }: TierStats): void {
    let known = this.#tiers.get(tier)
    if (!known) {
      known = { spilled: new Monotonic(), restored: new Monotonic() }
      this.#tiers.set(tier, known)
    }
    known.spilled.read(spilled)
    known.restored.read(restored)
  }
}
