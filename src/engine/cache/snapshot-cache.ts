import type { Backend } from '../backend.js'
import type { SequenceIds } from '../pool/sequence-ids.js'
import type { TokenList } from '../token-list.js'
import { ANCHOR_WORTH } from './eviction.js'
import type { CacheOwner } from './prefix-cache.js'

/** Cells that were computed between two snapshots of one stream; they live as long as anybody holds them. */
interface Run {
  from: number
  to: number
  snapshots: number
  streams: number
}

/** A sequence as it was after `tokens`, kept alive by a sequence id of its own. */
export interface Snapshot {
  readonly salt: string
  readonly tokens: Int32Array
  readonly sequence: number
  /** Where its cells come from, from position 0 on, in order. */
  readonly runs: readonly Run[]
  readonly anchor: boolean
  /** Milliseconds of the caller's clock. */
  lastUsed: number
}

/** Shorter prefixes are not worth an id. */
const LEAST_TOKENS = 16

/**
 * The resident tier of models whose memory is, in part, a running state (recurrent and hybrid ones). A state exists only
 * at a sequence's end: it cannot be cut, and cells without their state are worth nothing. So whole sequences are kept
 * as they were at a boundary, and attached whole to prompts that go on from there. `copyRange` shares the attention
 * layers' cells and the state, without copying (a state is copied by the library when one of its owners goes on).
 *
 * There are at most as many snapshots as sequence ids: the prompt is compared with each, from its end, where
 * conversations that share a beginning differ.
 */
export class SnapshotCache {
  /** Called before cells [from, to), which belong to this sequence alone, are given back to the library. */
  beforeFree: ((sequence: number, from: number, to: number) => void) | null = null
  /** Called before a snapshot is evicted, while it is still there. */
  onEvict: ((snapshot: Snapshot) => void) | null = null
  /** Called when a snapshot has been taken. */
  onCapture: ((snapshot: Snapshot) => void) | null = null
  /** Cells evicted so far. */
  evictedCells = 0
  /** How often the guard refused what was attached or captured. Stays 0 unless the library misbehaves. */
  guardFailures = 0
  private readonly snapshots = new Set<Snapshot>()
  private readonly attached = new Map<CacheOwner, readonly Run[]>()
  /** Runs that anybody holds. */
  private readonly runs = new Set<Run>()

  constructor(
    private readonly backend: Backend,
    private readonly ids: SequenceIds,
    private readonly now: () => number,
    /** Ids that must stay free for other uses (the next request). */
    private readonly spareIds = 2
  ) {}

  /** Cells held by snapshots, or shared between streams and once by a snapshot; each counted once. */
  get cells(): number {
    return this.sum(() => true)
  }

  /** Sequence ids in use, and the lengths of what they hold. */
  holders(): Array<{ sequence: number; length: number }> {
    return Array.from(this.snapshots, ({ sequence, tokens }) => ({ sequence, length: tokens.length }))
  }

  /** Cells that could be evicted now: those of no running stream. */
  idleCells(): number {
    return this.sum(run => run.streams === 0)
  }

  /** All that are kept now. */
  all(): Iterable<Snapshot> {
    return this.snapshots
  }

  has(snapshot: Snapshot): boolean {
    return this.snapshots.has(snapshot)
  }

  /** How many longer ones go on from this one. */
  continuations({ salt, tokens }: Snapshot): number {
    let count = 0
    for (const other of this.snapshots) {
      if (other.salt === salt && other.tokens.length > tokens.length && isPrefix(tokens, other.tokens))
        count++
    }
    return count
  }

  /** Length of the longest snapshot that is a prefix of `tokens`, at most `limit`. Touches nothing. */
  matchLength(salt: string, tokens: TokenList, limit: number): number {
    return this.find(salt, tokens, limit)?.tokens.length ?? 0
  }

  /** How many of that snapshot's cells other streams keep from eviction anyway. */
  pinnedLength(salt: string, tokens: TokenList, limit: number): number {
    const runs = this.find(salt, tokens, limit)?.runs ?? []
    return runs.reduce((cells, run) => cells + (run.streams > 0 ? this.cellsOf(run) : 0), 0)
  }

  /**
   * Puts an owner whose sequence is empty onto the longest snapshot.
   * @returns its length; the owner computes from there on.
   */
  attach(owner: CacheOwner, limit: number): number {
    const snapshot = this.find(owner.salt, owner.tokens, limit)
    if (!snapshot) return 0
    const length = snapshot.tokens.length
    this.backend.copyRange(snapshot.sequence, owner.sequence, 0, -1)
    if (!this.guard(owner.sequence, length)) {
      this.backend.removeRange(owner.sequence, 0, -1)
      this.drop(snapshot)
      return 0
    }
    snapshot.lastUsed = this.now()
    this.follow(owner, snapshot.runs)
    return length
  }

  /**
   * Keeps the owner's sequence as it is now.
   * @param length how many of its tokens are computed: exactly what the sequence holds.
   * @param swap when this very prefix is kept already: whether the owner moves onto it, and its own cells are freed.
   */
  capture(owner: CacheOwner, length: number, anchor: boolean, swap: boolean): void {
    if (length < LEAST_TOKENS || length <= owner.shared) return
    const known = this.find(owner.salt, owner.tokens, length)
    if (known?.tokens.length === length) {
      known.lastUsed = this.now()
      if (swap) this.moveOnto(owner, known)
      return
    }
    if (!this.freeIds(this.spareIds + 1)) return
    const sequence = this.ids.take()
    if (sequence === undefined) return
    this.backend.copyRange(owner.sequence, sequence, 0, -1)
    if (!this.guard(sequence, length)) {
      this.backend.removeRange(sequence, 0, -1)
      this.ids.give(sequence)
      return
    }
    const run: Run = { from: owner.shared, to: length, snapshots: 0, streams: 0 }
    this.runs.add(run)
    const runs = [...(this.attached.get(owner) ?? []), run]
    for (const each of runs) each.snapshots++
    const { salt } = owner
    const tokens = owner.tokens.view(0, length).slice()
    const snapshot = { salt, tokens, sequence, runs, anchor, lastUsed: this.now() }
    this.snapshots.add(snapshot)
    this.follow(owner, runs)
    this.onCapture?.(snapshot)
  }

  /** The owner is done, or is preempted: what it was attached to may be evicted. Its own cells are not touched. */
  release(owner: CacheOwner): void {
    const runs = this.attached.get(owner) ?? []
    this.attached.delete(owner)
    owner.shared = 0
    for (const run of runs) run.streams--
    this.bury(runs, owner.sequence)
  }

  /** Frees at least `cells` cells if idle snapshots allow it. Returns how many were freed. */
  evict(cells: number): number {
    let freed = 0
    while (freed < cells) {
      const coldest = this.coldest(snapshot => this.wouldFree(snapshot) > 0)
      if (!coldest) break
      this.onEvict?.(coldest)
      freed += this.drop(coldest)
    }
    return freed
  }

  /**
   * A sequence id for a new request. undefined when all are in use by running ones.
   * @param prompt the snapshot that the request is going to be attached to, up to `limit`, gives up its id last.
   */
  takeId(prompt?: Pick<CacheOwner, 'salt' | 'tokens'>, limit = 0): number | undefined {
    if (this.ids.available === 0) {
      const wanted = prompt && this.find(prompt.salt, prompt.tokens, limit)
      if (!this.freeIds(1, snapshot => snapshot !== wanted)) this.freeIds(1)
    }
    return this.ids.take()
  }

  /** Forgets everything. Cells that running streams hold stay theirs. Returns the freed cells. */
  clear(): number {
    let freed = 0
    for (const snapshot of this.snapshots) freed += this.drop(snapshot)
    return freed
  }

  private find(salt: string, tokens: TokenList, limit: number): Snapshot | undefined {
    const prompt = tokens.view()
    let best: Snapshot | undefined
    for (const snapshot of this.snapshots) {
      const { length } = snapshot.tokens
      if (length > limit || length <= (best?.tokens.length ?? 0) || snapshot.salt !== salt) continue
      if (isPrefix(snapshot.tokens, prompt)) best = snapshot
    }
    return best
  }

  private moveOnto(owner: CacheOwner, { sequence, tokens, runs }: Snapshot): void {
    const old = this.attached.get(owner) ?? []
    const own: Run = { from: owner.shared, to: tokens.length, snapshots: 0, streams: 0 }
    if (this.cellsOf(own) > 0) this.beforeFree?.(owner.sequence, own.from, own.to)
    for (const run of runs) run.streams++
    for (const run of old) run.streams--
    this.bury(old, owner.sequence)
    this.backend.removeRange(owner.sequence, 0, -1)
    this.backend.copyRange(sequence, owner.sequence, 0, -1)
    this.attached.set(owner, runs)
    owner.shared = tokens.length
  }

  private follow(owner: CacheOwner, runs: readonly Run[]): void {
    for (const run of runs) run.streams++
    for (const run of this.attached.get(owner) ?? []) run.streams--
    this.attached.set(owner, runs)
    owner.shared = runs.at(-1)?.to ?? 0
  }

  private freeIds(wanted: number, accept: (snapshot: Snapshot) => boolean = () => true): boolean {
    while (this.ids.available < wanted) {
      const coldest = this.coldest(accept)
      if (!coldest) return false
      this.onEvict?.(coldest)
      this.drop(coldest)
    }
    return true
  }

  /** Least recently used first; anchors (the end of system and tools, of a user turn) outlive others of the same age. */
  private coldest(accept: (snapshot: Snapshot) => boolean): Snapshot | undefined {
    let best: Snapshot | undefined
    let bestAge = -1
    for (const snapshot of this.snapshots) {
      const age = (this.now() - snapshot.lastUsed) / (snapshot.anchor ? ANCHOR_WORTH : 1)
      if (age <= bestAge || !accept(snapshot)) continue
      best = snapshot
      bestAge = age
    }
    return best
  }

  private wouldFree({ runs }: Snapshot): number {
    return runs.reduce(
      (cells, run) => cells + (run.snapshots === 1 && run.streams === 0 ? this.cellsOf(run) : 0),
      0
    )
  }

  /** Returns the cells that nobody else held. */
  private drop(snapshot: Snapshot): number {
    this.snapshots.delete(snapshot)
    for (const run of snapshot.runs) run.snapshots--
    const freed = this.bury(snapshot.runs, snapshot.sequence)
    this.backend.removeRange(snapshot.sequence, 0, -1)
    this.ids.give(snapshot.sequence)
    this.evictedCells += freed
    return freed
  }

  /** Forgets those runs that nobody holds any more but `sequence`, which is about to be emptied. Returns their cells. */
  private bury(runs: readonly Run[], sequence: number): number {
    let freed = 0
    for (const run of runs) {
      if (run.snapshots > 0 || run.streams > 0 || !this.runs.delete(run)) continue
      const cells = this.cellsOf(run)
      if (cells > 0) this.beforeFree?.(sequence, run.from, run.to)
      freed += cells
    }
    return freed
  }

  private sum(accept: (run: Run) => boolean): number {
    let cells = 0
    for (const run of this.runs) if (accept(run)) cells += this.cellsOf(run)
    return cells
  }

  /** A purely recurrent model has no cells: its states are allocated with the ids. */
  private cellsOf({ from, to }: Run): number {
    return this.backend.capabilities.memory === 'recurrent' ? 0 : to - from
  }

  /** The state is that of the last position, and the cells end there: else the copy was not made at a boundary. */
  private guard(sequence: number, length: number): boolean {
    const sound =
      this.backend.minPosition(sequence) === length - 1 && this.backend.maxPosition(sequence) === length - 1
    if (!sound) this.guardFailures++
    return sound
  }
}

function isPrefix(prefix: Int32Array, tokens: Int32Array): boolean {
  for (let i = prefix.length - 1; i >= 0; i--) if (prefix[i] !== tokens[i]) return false
  return true
}
