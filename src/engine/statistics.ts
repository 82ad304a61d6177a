import { residentBytes } from '../resident-memory.js'
import type { Admission } from './admission.js'
import { FixedHistogram } from './histogram.js'
import type { CachedTokens, EngineStats } from './messages.js'
import type { Scheduler } from './scheduler/scheduler.js'
import { type Chunk, rowsOf } from './scheduler/step-plan.js'
import { tierFigures } from './tiers/figures.js'

/** At most this often while steps run, milliseconds. */
const PUBLISH_EVERY = 250

/** Upper bounds of the step times, milliseconds: single tokens on a GPU to long prompts on a slow CPU. */
const STEP_BOUNDS = [1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000]

/** Counts what happens, and publishes it: metrics, health and a dashboard subscribe. */
export class Statistics {
  readonly counters: EngineStats['counters'] = {
    steps: 0,
    promptTokens: 0,
    generatedTokens: 0,
    cachedTokens: { resident: 0, ram: 0, disk: 0 },
    evictedCells: 0,
    spilledBytes: 0,
    diskWrittenBytes: 0,
    restoredBytes: 0,
    preemptions: 0,
    admitted: 0,
    rejected: { full: 0, tooLong: 0, draining: 0, invalid: 0 },
    cancelled: 0,
    failed: 0
  }
  private lastStep = { ms: 0, rows: 0 }
  private readonly stepTimes = new FixedHistogram(STEP_BOUNDS)
  private published = 0

  constructor(
    private readonly blockSize: number,
    private readonly send: (stats: EngineStats) => void,
    private readonly now: () => number
  ) {}

  /** Prompt tokens are those computed; each output row gave a token. */
  stepDone(chunks: readonly Chunk[], ms: number): void {
    this.counters.steps++
    this.lastStep = { ms, rows: rowsOf(chunks) }
    this.stepTimes.observe(ms)
    for (const { stream, from, count, output } of chunks) {
      this.counters.promptTokens += Math.max(0, Math.min(from + count, stream.promptLength) - from)
      if (output) this.counters.generatedTokens++
    }
  }

  started(cached: CachedTokens): void {
    for (const tier of ['resident', 'ram', 'disk'] as const) this.counters.cachedTokens[tier] += cached[tier]
  }

  snapshot(scheduler: Scheduler, admission: Admission): EngineStats {
    const { prefixes, ids } = scheduler
    this.counters.evictedCells = prefixes.evictedCells
    this.counters.preemptions = scheduler.preemptions
    const { tiers } = scheduler
    const below = tiers && tierFigures(tiers)
    if (below) {
      const { ram, disk } = below.tiers
      this.counters.spilledBytes = ram?.spilled ?? 0
      this.counters.diskWrittenBytes = disk?.spilled ?? 0
      this.counters.restoredBytes = (ram?.restored ?? 0) + (disk?.restored ?? 0)
    }
    return {
      running: scheduler.running.length,
      waiting: scheduler.waiting.length + admission.arriving,
      waitingTokens: admission.waitingTokens(),
      pool: {
        cells: scheduler.cells,
        usedCells: scheduler.usedCells,
        idleCells: prefixes.idleCells(),
        blockSize: this.blockSize,
        sequenceIds: ids.total,
        usedSequenceIds: ids.used
      },
      counters: structuredClone(this.counters),
      lastStep: this.lastStep,
      stepTimes: this.stepTimes.snapshot(),
      memoryBytes: residentBytes(),
      ...below
    }
  }

  publish(scheduler: Scheduler, admission: Admission): void {
    this.published = this.now()
    this.send(this.snapshot(scheduler, admission))
  }

  publishSometimes(scheduler: Scheduler, admission: Admission): void {
    if (this.now() - this.published >= PUBLISH_EVERY) this.publish(scheduler, admission)
  }
}
