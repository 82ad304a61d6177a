import type { Scheduler } from './scheduler.js'

/** Idle entries that nobody has used for this long leave a busy pool, milliseconds. */
const COLD_AFTER = 50
/** Milliseconds at a time at most: a piece that was saved before costs nothing, one that was not about half of one. */
const TRIM_MS = 1
/** After a long step it may be this part of the step's time. */
const TRIM_SHARE = 0.05
/** Cells that leave between two looks at the clock. */
const SLICE = 256
/** Compaction pays when the highest used cell may lie this many times beyond what is used. */
const SPARSE = 2
const LEAST_SPAN = 1024
/** It may take this part of the time, and comes at most once in so many milliseconds. */
const COMPACT_SHARE = 0.05
const COMPACT_EVERY = 50

/**
 * Keeps the occupied part of the pool small while streams decode. On a CPU every row looks at every cell up to the
 * highest used one: 8,000 idle cells make a step of 16 streams half as slow again (docs/performance.md). Prefixes
 * go to RAM, from where they come back in milliseconds; what lies high is then moved down.
 */
export class PoolTrim {
  compactions = 0
  /** No cell above this one is in use: llama.cpp fills the lowest free cells first. */
  private highest = 0
  private nextCompaction = Number.NEGATIVE_INFINITY

  constructor(
    private readonly scheduler: Scheduler,
    private readonly now: () => number
  ) {}

  /** A stream has started: what nobody uses should not slow down its prompt. */
  beforePrompt(): void {
    this.evictCold(TRIM_MS)
  }

  /** After a step that took `ms`; `scratch` is a free sequence id. */
  afterStep(ms: number, scratch: number): void {
    const { scheduler } = this
    this.highest = Math.max(this.highest, scheduler.usedCells)
    if (scheduler.running.length === 0) return
    // Not while more is leaving: half of it would be moved, and the rest of the gap stay for long.
    if (this.evictCold(Math.max(TRIM_MS, ms * TRIM_SHARE)) === 0) this.compactIfSparse(scratch)
  }

  /** Returns the cells that left. */
  private evictCold(budgetMs: number): number {
    const { cache } = this.scheduler
    const idle = cache.idleCells()
    const until = this.now() + budgetMs
    let freed = 0
    while (freed < idle) {
      const slice = cache.evictCold(Math.min(SLICE, idle - freed), COLD_AFTER)
      freed += slice
      if (slice === 0 || this.now() >= until) break
    }
    return freed
  }

  private compactIfSparse(scratch: number): void {
    const { scheduler } = this
    const used = scheduler.usedCells
    if (this.highest < Math.max(LEAST_SPAN, SPARSE * used)) return
    const begun = this.now()
    if (begun < this.nextCompaction) return
    const moved = scheduler.compact(scratch)
    const ended = this.now()
    this.nextCompaction = ended + Math.max(COMPACT_EVERY, (ended - begun) / COMPACT_SHARE)
    if (moved === 0) return
    this.highest = used
    this.compactions++
  }
}
