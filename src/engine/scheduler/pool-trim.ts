import type { Scheduler } from './scheduler.js'

/** Idle entries that nobody has used for this long leave a busy pool, milliseconds. */
const COLD_AFTER = 100
/** Idle cells that may stay beside the streams' own, whatever their age. */
const LEAST_IDLE = 256
/** Milliseconds after one step at most: a piece that was saved before costs nothing, one that was not about half of one. */
const TRIM_MS = 1
/** Cells that leave between two looks at the clock. */
const SLICE = 256
/** Compaction pays when the highest used cell may lie this many times beyond what is used, and not more often. */
const SPARSE = 2
const LEAST_SPAN = 4096
const COMPACT_EVERY = 3000

/**
 * Keeps the occupied part of the pool small while streams decode. On a CPU every row looks at every cell up to the
 * highest used one: 8,000 idle cells make a step of 16 streams half as slow again (docs/performance.md). Prefixes
 * go to RAM, from where they come back in milliseconds; what lies high is then moved down.
 */
export class PoolTrim {
  compactions = 0
  /** No cell above this one is in use: llama.cpp fills the lowest free cells first. */
  private highest = 0
  private compactedAt = Number.NEGATIVE_INFINITY

  constructor(
    private readonly scheduler: Scheduler,
    private readonly now: () => number
  ) {}

  /** After a step; `scratch` is a free sequence id. */
  afterStep(scratch: number): void {
    const { scheduler } = this
    this.highest = Math.max(this.highest, scheduler.usedCells)
    if (scheduler.running.length === 0) return
    // Not while more is leaving: half of it would be moved, and the rest of the gap stay for long.
    if (this.evictCold() === 0) this.compactIfSparse(scratch)
  }

  /** Returns the cells that left. */
  private evictCold(): number {
    const { cache, usedCells } = this.scheduler
    const idle = cache.idleCells()
    const spare = Math.max(LEAST_IDLE, (usedCells - idle) / 8)
    const excess = Math.ceil(idle - spare)
    const until = this.now() + TRIM_MS
    let freed = 0
    while (freed < excess) {
      const slice = cache.evict(Math.min(SLICE, excess - freed), COLD_AFTER)
      freed += slice
      if (slice === 0 || this.now() >= until) break
    }
    return freed
  }

  private compactIfSparse(scratch: number): void {
    const { scheduler } = this
    const used = scheduler.usedCells
    if (this.highest < Math.max(LEAST_SPAN, SPARSE * used)) return
    if (this.now() - this.compactedAt < COMPACT_EVERY) return
    this.compactedAt = this.now()
    if (scheduler.compact(scratch) === 0) return
    this.highest = used
    this.compactions++
  }
}
