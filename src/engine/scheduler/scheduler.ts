import type { Backend } from '../backend.js'
import { compact } from '../cache/compaction.js'
import { PrefixCache } from '../cache/prefix-cache.js'
import { SnapshotCache } from '../cache/snapshot-cache.js'
import { Graveyard } from '../pool/graveyard.js'
import { SequenceIds } from '../pool/sequence-ids.js'
import { PoolTiers } from '../tiers/pool-tiers.js'
import type { TierStore } from '../tiers/store.js'
import { boundariesOf } from './boundaries.js'
import { Cadence } from './cadence.js'
import { ReproducibleShapes } from './chunking.js'
import { PoolTrim } from './pool-trim.js'
import { leaderFor } from './prompt-shares.js'
import { paddedShape, RowPadding } from './row-padding.js'
import { StepBudget } from './step-budget.js'
import { StepComposer } from './step-composer.js'
import { type Chunk, mostlyShared, rowsOf, type StepPlan, shapeOf } from './step-plan.js'
import type { Stream } from './stream.js'

export interface SchedulerOptions {
  /** Most running streams. */
  parallel: number
  /** Cells kept for the answer of every running stream beyond its prompt. */
  answerReserve: number
  /** Step targets in milliseconds, see StepBudget. */
  targetMs: number
  idleTargetMs: number
  /** Every stream is reproducible: then they may share prefixes with each other. */
  reproducible: boolean
  now: () => number
}

/**
 * Decides what every step computes. Streams wait, run, and may be preempted; there is no prefill or decode phase. The
 * verbs: add, plan, computed (after the step), append (a token was drawn), finish.
 */
export class Scheduler {
  readonly ids: SequenceIds
  /** Prefixes in the pool, where they can be cut and shared at any token. */
  readonly cache: PrefixCache
  /** What takes its place for models with a running state; null for all others. */
  readonly snapshots: SnapshotCache | null
  readonly budget: StepBudget
  readonly cadence: Cadence
  /** By arrival; preempted streams in front. */
  readonly waiting: Stream[] = []
  /** By start. */
  readonly running: Stream[] = []
  preemptions = 0
  readonly graveyard: Graveyard
  /** What lies below the pool; null: prefixes live in the pool only. */
  tiers: PoolTiers | null = null
  private trim: PoolTrim | null = null
  private readonly shapes: ReproducibleShapes
  private readonly composer: StepComposer
  private readonly padding: RowPadding
  private readonly justStarted: Stream[] = []
  /** Milliseconds that the batches of a step took. */
  private lastStepMs = 0
  private readonly commonLengths = new WeakMap<Stream, Map<Stream, number>>()

  constructor(
    private readonly backend: Backend,
    private readonly options: SchedulerOptions
  ) {
    const { sequenceIds, batchRows } = backend.capabilities
    this.ids = new SequenceIds(sequenceIds)
    this.cache = new PrefixCache(backend, this.ids, options.now)
    const { memory } = backend.capabilities
    const running = memory === 'recurrent' || memory === 'hybrid'
    this.snapshots = running ? new SnapshotCache(backend, this.ids, options.now) : null
    this.graveyard = new Graveyard(backend, this.ids)
    this.prefixes.beforeFree = (sequence, from, to) => {
      if (this.appendOnly) this.graveyard.bury(sequence, from, to)
    }
    this.budget = new StepBudget({
      batchRows,
      targetMs: options.targetMs,
      idleTargetMs: options.idleTargetMs
    })
    this.shapes = new ReproducibleShapes(batchRows, Math.min(backend.capabilities.invariantRows, batchRows))
    this.cadence = new Cadence(options.targetMs, options.now)
    this.composer = new StepComposer(backend, this.budget, this.shapes, this.cadence)
    this.padding = new RowPadding(backend, this.budget.cost)
  }

  /** Puts RAM and disk below the pool. `awaken` is called when something arrives between steps. */
  useTiers(store: TierStore, awaken: () => void): void {
    const { backend, prefixes: cache, ids } = this
    const makeRoom = (cells: number) => {
      const missing = cells - (this.cells - this.usedCells)
      return missing <= 0 || (!this.appendOnly && cache.evict(missing) >= missing)
    }
    this.tiers = new PoolTiers({ backend, cache, ids, store, makeRoom, awaken, now: this.options.now })
    // Only where idle cells cost something, and can leave.
    if (backend.info.device === 'CPU') this.trim = new PoolTrim(this, this.options.now)
  }

  /** Work that needs no message and no decode is left: a step should be taken at once. */
  get restless(): boolean {
    return this.tiers?.restorer.ready ?? false
  }

  get cells(): number {
    return this.backend.capabilities.cells
  }

  /** What is cached in the pool, of whatever kind. */
  get prefixes(): PrefixCache | SnapshotCache {
    return this.snapshots ?? this.cache
  }

  /** Cells that hold something: cached prefixes once each, what running streams computed beyond them, and the buried. */
  get usedCells(): number {
    return this.running.reduce(
      (cells, stream) => cells + stream.ownCells,
      this.prefixes.cells + this.graveyard.cells
    )
  }

  /** Whether this stream uses, and leaves behind, cached prefixes. */
  private shares(stream: Stream): boolean {
    if (!stream.cachePrompt || !this.backend.capabilities.sharesCells) return false
    // Among others a reproducible stream computes everything itself, so that all its cells lie in order.
    return !stream.reproducible || this.options.reproducible
  }

  /** While reproducible streams run, no cell is used a second time: see graveyard.ts. */
  private get appendOnly(): boolean {
    return this.options.reproducible || this.running.some(stream => stream.reproducible)
  }

  add(stream: Stream): void {
    if (this.snapshots && this.shares(stream)) {
      const { promptLength, anchors } = stream
      stream.boundaries = boundariesOf(promptLength, anchors, position => this.shapes.cut(stream, position))
    }
    let index = this.waiting.length
    while (index > 0 && (this.waiting[index - 1] as Stream).priority < stream.priority) index--
    this.waiting.splice(index, 0, stream)
  }

  /**
   * How many of the waiting streams, and of `arriving` ones of unknown length behind them, could start now by free slots
   * and cells.
   */
  startable(arriving: number): number {
    const slots = Math.max(0, this.options.parallel - this.running.length)
    let cells = this.cells - this.usedCells + this.prefixes.idleCells() - this.committedCells()
    let count = 0
    for (const stream of this.waiting) {
      cells -= this.need(stream, 0)
      if (count === slots || cells < 0) return count
      count++
    }
    return Math.min(slots, count + arriving)
  }

  /** The next step; null when there is nothing to compute. Starts waiting streams and makes room. */
  plan(): StepPlan | null {
    const running = this.running.length
    this.startWaiting()
    if (this.appendOnly && this.cells - this.usedCells < this.running.length) {
      this.startOver()
      this.startWaiting()
    }
    this.restore()
    this.lastStepMs = 0
    if (!this.appendOnly && this.running.length > running) this.trim?.beforePrompt()
    for (;;) {
      const active = this.running.filter(stream => this.wantsRows(stream))
      const batches = this.composer.compose(active, this.roomFor(active), this.usedCells)
      if (batches.length > 0) return { batches }
      if (active.length === 0) return null
      const victim = this.victim()
      if (!victim) return null
      this.preempt(victim)
    }
  }

  /** Moves what is in the pool to its lowest cells. Returns the bytes moved. */
  compact(scratch: number): number {
    // The library saves no more than a window of a window's layers.
    if (this.backend.capabilities.memory !== 'attention') return 0
    return compact(this.backend, this.cache.index.branches, this.running, scratch)
  }

  /** Saves some of what is new to the tiers. Returns whether more is waiting. */
  tidy(): boolean {
    if (this.trim && this.tiers && !this.appendOnly)
      this.trim.afterStep(this.lastStepMs, this.tiers.scratchId)
    return this.tiers?.spill(this.running.some(stream => stream.decoding)) ?? false
  }

  /** Streams that started for the first time since this was last asked. */
  takeStarted(): Stream[] {
    return this.justStarted.splice(0)
  }

  /** Fills up the backend's batch, which holds these chunks, where that is cheaper. Returns the rows added. */
  pad(chunks: readonly Chunk[]): number {
    if (!this.tiers || this.appendOnly) return 0
    const rows = this.padding.rowsFor(chunks, this.cells - this.usedCells - rowsOf(chunks))
    for (let i = 0; i < rows; i++) this.backend.batch.add(0, i, this.tiers.scratchId, false)
    return rows
  }

  /** These are next tokens of several running streams, which a backend may compute apart from the pool. */
  mayTakeLanes(chunks: readonly Chunk[]): boolean {
    if (this.running.length < 2) return false
    if (!chunks.every(({ stream, output }) => output && stream.decoding && !stream.reproducible)) return false
    const together = this.running.reduce((cells, stream) => cells + stream.computed, 0)
    return !mostlyShared(together, this.usedCells)
  }

  /** What a backend should know of a batch that continues one prompt (`DecodeOptions.prompt`). */
  promptOf(chunks: readonly Chunk[]): { sequence: number; others: number } | undefined {
    const [only] = chunks
    if (!only || chunks.length > 1 || only.count === 1) return undefined
    const { stream } = only
    if (stream.reproducible || stream.reads) return undefined
    return { sequence: stream.sequence, others: this.usedCells - stream.computed }
  }

  /** Running streams other than these whose next tokens can be computed in breaks of a decode. */
  besides(chunks: readonly Chunk[]): Stream[] {
    const others = new Set(chunks.map(({ stream }) => stream))
    return this.running.filter(stream => !others.has(stream) && this.isBeside(stream))
  }

  isBeside(stream: Stream): boolean {
    return this.composer.isBeside(stream)
  }

  /** In which batches these streams' next tokens are best computed. */
  besideBatches(streams: readonly Stream[]): Chunk[][] {
    return this.composer.besideBatches(streams)
  }

  /** The next tokens of these chunks are in the cells now, beside a decode that is still running. */
  computedBeside(chunks: readonly Chunk[]): void {
    for (const { stream, count } of chunks) stream.computed += count
  }

  /** Milliseconds that this batch will take, with `padding` more rows; null: it cannot be told yet. */
  expectedMs(chunks: readonly Chunk[], padding: number): number | null {
    const shape = shapeOf(chunks)
    return this.budget.cost.predict(padding > 0 ? paddedShape(shape, padding) : shape)
  }

  /** After the decode, whatever came of it: the rows that filled it up are thrown away. */
  unpad(): void {
    if (this.tiers) this.backend.removeRange(this.tiers.scratchId, 0, -1)
  }

  /** The chunks of a batch are in the cells now; `padding` more rows were computed with them. */
  computed(chunks: readonly Chunk[], ms: number, padding = 0): void {
    const shape = shapeOf(chunks)
    this.budget.observe(padding > 0 ? paddedShape(shape, padding) : shape, ms)
    this.lastStepMs += ms
    const [only] = chunks
    if (chunks.length === 1 && only && only.count > 1)
      this.tiers?.cost.observeCompute(only.count, only.from, ms)
    for (const { stream, count } of chunks) {
      stream.computed += count
      if (stream.prefilledAt === null && stream.computed >= stream.promptLength) {
        stream.prefilledAt = this.options.now()
      }
      // What is computed of a prompt is shared at once: others may be waiting for it, and outlive this stream.
      if (stream.computed <= stream.promptLength) this.share(stream)
      if (stream.computed === stream.promptLength && stream.shared > 0) this.tiers?.keep(stream)
    }
  }

  /** The stream leaves, for whatever reason: its prefix stays cached, its ids and own cells are free. */
  finish(stream: Stream): void {
    remove(this.waiting, stream)
    if (!remove(this.running, stream)) return
    this.share(stream, true)
    if (stream.shared > 0) this.tiers?.keep(stream)
    this.leaveCells(stream)
  }

  /** The library found no room although we counted some: evict more, or preempt. False when nothing is left to give. */
  makeRoom(cells: number): boolean {
    if (this.appendOnly) this.startOver()
    if (this.prefixes.evict(cells) > 0) return true
    const victim = this.victim()
    if (!victim) return false
    this.preempt(victim)
    return true
  }

  /** Makes what a stream has computed part of the cache. A running state only at a boundary, and when it is leaving. */
  private share(stream: Stream, leaving = false): void {
    if (!this.shares(stream)) return
    const limit = this.shapes.insertLimit(stream)
    const swap = !stream.reproducible
    if (this.snapshots) {
      const { computed, boundaries, anchors } = stream
      if (computed === limit && (leaving || boundaries?.includes(computed)))
        this.snapshots.capture(stream, computed, anchors.includes(computed), swap)
      return
    }
    for (const anchor of stream.anchors) {
      if (anchor > stream.shared && anchor <= limit) this.cache.insert(stream, anchor, true, swap)
    }
    this.cache.insert(stream, limit, false, swap)
  }

  private startWaiting(): void {
    for (let i = 0; i < this.waiting.length; ) {
      if (this.running.length >= this.options.parallel) return
      const stream = this.waiting[i] as Stream
      const outcome = stream.paused ? 'passed_over' : this.tryStart(stream)
      if (outcome === 'started') this.waiting.splice(i, 1)
      else if (outcome === 'passed_over') i++
      else {
        // A client that takes no data must not hold cells that another waits for.
        const idler = this.running.find(other => other.paused)
        if (!idler) return
        this.preempt(idler)
        i++
      }
    }
  }

  private tryStart(stream: Stream): 'started' | 'passed_over' | 'no_room' {
    const limit = this.shapes.attachLimit(stream)
    const shares = this.shares(stream)
    const cached = shares ? this.prefixes.matchLength(stream.salt, stream.tokens, limit) : 0
    if (shares && this.leaderOf(stream, cached, limit)) return 'passed_over'
    // What it attaches to may be idle now and will not be: that cannot be evicted to make room for the rest.
    const pinned = shares ? this.prefixes.pinnedLength(stream.salt, stream.tokens, limit) : 0
    const need = this.need(stream, pinned)
    const free = this.cells - this.usedCells - this.committedCells()
    if (need > free + (this.appendOnly ? 0 : this.prefixes.idleCells())) {
      if (this.running.length > 0) return 'no_room'
      if (this.appendOnly) this.startOver()
    }
    // While it runs nothing can be evicted without a fresh start.
    if (stream.reproducible && need > free) this.prefixes.evict(need - free)
    const id = this.prefixes.takeId(shares ? stream : undefined, limit)
    if (id === undefined) return 'no_room'
    stream.sequence = id
    stream.computed = shares ? this.prefixes.attach(stream, limit) : 0
    this.running.push(stream)
    if (stream.startedAt === null) {
      stream.startedAt = this.options.now()
      stream.cached = stream.computed
      if (!shares || !this.tiers?.begin(stream, limit)) this.justStarted.push(stream)
    } else if (shares) {
      this.tiers?.begin(stream, limit)
    }
    return 'started'
  }

  /** Who is computing what it needs, and will leave it behind. */
  private leaderOf(stream: Stream, cached: number, limit: number): Stream | null {
    const leaders = this.running.filter(other => this.shares(other))
    return leaderFor(stream, leaders, cached, limit, this.lengthsOf(stream))
  }

  /** Brings prefixes back from the tiers for streams that have started. */
  private restore(): void {
    if (!this.tiers) return
    const decoding = this.running.some(stream => stream.decoding)
    for (const stream of this.tiers.restore(decoding, this.lastStepMs, stream => this.share(stream))) {
      // A preempted stream has been announced long ago.
      if (stream.prefilledAt === null) this.justStarted.push(stream)
    }
  }

  /** It has something to compute and may. */
  wantsRows(stream: Stream): boolean {
    return !stream.paused && stream.behind > 0 && !this.tiers?.restorer.isRestoring(stream)
  }

  /** Cells a stream needs beyond the `held` ones it has: the rest of its tokens and a reserve for the answer. */
  private need(stream: Stream, held: number): number {
    const reserve = Math.min(stream.tokensLeft, this.options.answerReserve)
    return Math.max(0, stream.tokens.length - held) + reserve
  }

  /** Cells that running streams are still going to take. */
  private committedCells(): number {
    return this.running.reduce((cells, stream) => cells + this.need(stream, stream.computed), 0)
  }

  private lengthsOf(stream: Stream): Map<Stream, number> {
    let lengths = this.commonLengths.get(stream)
    if (!lengths) {
      lengths = new Map()
      this.commonLengths.set(stream, lengths)
    }
    return lengths
  }

  /** Free cells for a step of these streams, after evicting what it takes for a full one. */
  private roomFor(active: readonly Stream[]): number {
    const wanted = active.reduce((rows, stream) => rows + stream.behind, 0)
    const goal = Math.min(wanted, this.backend.capabilities.batchRows + active.length)
    const free = this.cells - this.usedCells
    return free < goal && !this.appendOnly ? free + this.prefixes.evict(goal - free) : free
  }

  /** Who gives way: one whose client takes no data, then the lowest priority, then the newest. Never the only one. */
  private victim(): Stream | undefined {
    if (this.running.length < 2) return undefined
    return this.running.reduce((victim, stream) => {
      if (stream.paused !== victim.paused) return stream.paused ? stream : victim
      if (stream.priority !== victim.priority) return stream.priority < victim.priority ? stream : victim
      return stream.arrived >= victim.arrived ? stream : victim
    })
  }

  /** Its tokens stay, as idle entries of the cache as long as nobody needs the cells; it waits in front. */
  private preempt(stream: Stream): void {
    this.preemptions++
    remove(this.running, stream)
    this.share(stream, true)
    this.leaveCells(stream)
    this.waiting.unshift(stream)
  }

  /**
   * Reproducible streams have used up the pool: they wait, what was buried is freed, and they compute their tokens again
   * in cells that lie in order.
   */
  private startOver(): void {
    for (const stream of this.running.filter(stream => stream.reproducible)) this.preempt(stream)
    this.graveyard.clear()
    if (!this.options.reproducible) return
    // Emptied for good: holes would let later cells lie before earlier ones.
    this.prefixes.clear()
    this.graveyard.clear()
  }

  private leaveCells(stream: Stream): void {
    this.tiers?.restorer.forget(stream)
    if (stream.reproducible || this.appendOnly)
      this.graveyard.bury(stream.sequence, stream.shared, stream.computed)
    this.prefixes.release(stream)
    this.backend.removeRange(stream.sequence, 0, -1)
    this.ids.give(stream.sequence)
    stream.sequence = -1
    stream.computed = 0
    if (!this.appendOnly) this.graveyard.clear()
  }
}

function remove(list: Stream[], stream: Stream): boolean {
  const index = list.indexOf(stream)
  if (index === -1) return false
  list.splice(index, 1)
  return true
}
