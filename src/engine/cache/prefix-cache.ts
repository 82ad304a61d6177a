import type { Backend } from '../backend.js'
import type { SequenceIds } from '../pool/sequence-ids.js'
import type { TokenList } from '../token-list.js'
import type { Branch } from './branch.js'
import { type EvictionCandidate, evictionCandidate } from './eviction.js'
import { type PathSegment, PrefixIndex } from './prefix-index.js'

/** Who may be attached to cached prefixes: a running stream, as far as the cache needs to know it. */
export interface CacheOwner {
  /** The sequence id that it computes in. */
  sequence: number
  readonly salt: string
  readonly tokens: TokenList
  /** Where its shared prefix lies; empty when nothing is shared. Kept by the cache. */
  path: PathSegment[]
  /** Its positions [0, shared) belong to the cache, the rest are its own cells. Kept by the cache. */
  shared: number
}

/** What leaves the pool: tokens [from, to) of the path that `branch` ends. Called while the cells are still there. */
export type OnEvict = (branch: Branch, from: number, to: number) => void

/**
 * The resident tier: prefixes kept alive in the pool's cells by holder sequence ids, attached by `copyRange` without
 * copying. Every cell on a branch exists once, however many requests are attached.
 *
 * Of a model with a sliding window, llama.cpp takes any cell that belongs to a single sequence and lies outside of that
 * sequence's window for new tokens (`llama_kv_cache::find_slot`), however large the cache is. So a branch of such a
 * model is held by two ids, which makes its cells untouchable, and a stream's own cells become a branch only while
 * none of them has been taken (docs/memory-kinds.md).
 */
export class PrefixCache {
  readonly index = new PrefixIndex()
  onEvict: OnEvict | null = null
  /** Called before cells [from, to), which belong to this sequence alone, are given back to the library. */
  beforeFree: ((sequence: number, from: number, to: number) => void) | null = null
  /** Cells evicted so far. */
  evictedCells = 0
  /** How often an attached prefix was refused by the guard and computed instead. Stays 0 unless the library misbehaves. */
  guardFailures = 0
  private readonly twins: boolean
  /** Owners that the guard refused: what they would be put onto cannot be trusted. */
  private readonly refused = new WeakSet<CacheOwner>()

  constructor(
    private readonly backend: Backend,
    private readonly ids: SequenceIds,
    private readonly now: () => number,
    /** Ids that must stay free for other uses (scratch, the next request). */
    private readonly spareIds = 2
  ) {
    this.twins = backend.capabilities.memory === 'window'
  }

  /** Cells held by cached prefixes, shared ones counted once. */
  get cells(): number {
    return this.index.cells
  }

  /** Cells that could be evicted now: those of no request's path. */
  idleCells(): number {
    let idle = 0
    for (const branch of this.index.branches) idle += branch.end - branch.pinnedEnd
    return idle
  }

  /** Length of the longest cached prefix, at most `limit`. Touches nothing. */
  matchLength(salt: string, tokens: TokenList, limit: number): number {
    return this.index.match(salt, tokens, limit).at(-1)?.to ?? 0
  }

  /** How much of that prefix other requests keep from eviction anyway. */
  pinnedLength(salt: string, tokens: TokenList, limit: number): number {
    let length = 0
    for (const { branch, from, to } of this.index.match(salt, tokens, limit)) {
      length += Math.max(0, Math.min(to, branch.pinnedEnd) - from)
    }
    return length
  }

  /**
   * Shares the longest cached prefix with an owner whose sequence is empty.
   * @returns its length; the owner computes from there on.
   */
  attach(owner: CacheOwner, limit: number): number {
    const path = this.index.match(owner.salt, owner.tokens, limit)
    const length = path.at(-1)?.to ?? 0
    if (length === 0) return 0
    for (const { branch, from, to } of path) this.backend.copyRange(branch.sequence, owner.sequence, from, to)
    if (!this.guard(owner.sequence, length)) {
      this.guardFailures++
      this.refused.add(owner)
      this.backend.removeRange(owner.sequence, 0, -1)
      return 0
    }
    this.follow(owner, path)
    return length
  }

  /**
   * Makes the owner's computed tokens [0, upTo) part of the cache. Where another request computed the same run first,
   * the owner swaps onto those cells and its own are freed; where the cache has no room for another holder id, the
   * rest stays the owner's own.
   * @param swap false: the owner keeps its own cells where another was first, and inserts nothing from there on.
   * @returns the owner's new `shared`.
   */
  insert(owner: CacheOwner, upTo: number, anchor = false, swap = true): number {
    if (upTo <= owner.shared || this.refused.has(owner) || !this.ownCellsWhole(owner)) return owner.shared
    const last = owner.path.at(-1)
    const root = last ? last.branch : this.index.root(owner.salt)
    const known = this.index.matchFrom(root, owner.shared, owner.tokens, upTo)
    if (known.length > 0 && !swap) return owner.shared
    for (const { branch, from, to } of known) {
      this.beforeFree?.(owner.sequence, from, to)
      this.backend.removeRange(owner.sequence, from, to)
      this.backend.copyRange(branch.sequence, owner.sequence, from, to)
    }
    // Pinned before anything may be evicted to make room for a new holder.
    if (known.length > 0) this.follow(owner, joined(owner.path, known))
    const position = owner.shared
    if (position < upTo) {
      const branch = this.grow(owner.path.at(-1)?.branch, owner, position, upTo, anchor)
      if (branch) this.follow(owner, joined(owner.path, [{ branch, from: position, to: upTo }]))
    }
    return owner.shared
  }

  /** The owner is done, or is preempted: what it was attached to may be evicted again. Its own cells are not touched. */
  release(owner: CacheOwner): void {
    for (const { branch } of owner.path) branch.unpin(owner)
    owner.path = []
    owner.shared = 0
  }

  /**
   * Frees at least `cells` cells if idle entries allow it.
   * @returns how many were freed.
   */
  evict(cells: number): number {
    return this.evictWhile(cells, now => evictionCandidate(this.index.branches, now))
  }

  /**
   * Frees up to about `cells` cells of entries that were not used for `idleMs` milliseconds, anchors like all others: they
   * are not lost, a tier has them.
   * @returns how many were freed.
   */
  evictCold(cells: number, idleMs: number): number {
    return this.evictWhile(cells, now => {
      const coldest = evictionCandidate(this.index.branches, now, { anchorWorth: 1 })
      return coldest && coldest.age >= idleMs ? coldest : undefined
    })
  }

  private evictWhile(cells: number, next: (now: number) => EvictionCandidate | undefined): number {
    let freed = 0
    while (freed < cells) {
      const candidate = next(this.now())
      if (!candidate) break
      const from = Math.max(candidate.from, candidate.branch.end - (cells - freed))
      freed += this.cut(candidate.branch, from)
    }
    return freed
  }

  /**
   * A sequence id for a new request. undefined when every holder is in use.
   * @param prompt what the request is going to be attached to, up to `limit`, gives up its id last.
   */
  takeId(prompt?: Pick<CacheOwner, 'salt' | 'tokens'>, limit = 0): number | undefined {
    if (this.ids.available === 0) {
      const wanted = prompt ? this.index.match(prompt.salt, prompt.tokens, limit) : []
      const hold = {}
      for (const { branch, to } of wanted) branch.pin(hold, to)
      const freed = this.freeIds(1)
      for (const { branch } of wanted) branch.unpin(hold)
      if (!freed) this.freeIds(1)
    }
    return this.ids.take()
  }

  /** Forgets everything that no request is attached to. Returns the freed cells. */
  clear(): number {
    return this.evict(Number.MAX_SAFE_INTEGER)
  }

  /** New cells [from, to) of the owner become the cache's: the branch grows, or a new one leaves it. */
  private grow(
    branch: Branch | undefined,
    owner: CacheOwner,
    from: number,
    to: number,
    anchor: boolean
  ): Branch | undefined {
    if (branch?.end === from) {
      for (const id of holders(branch)) this.backend.copyRange(owner.sequence, id, from, to)
      this.index.extend(branch, owner.tokens, to, this.now(), anchor)
      return branch
    }
    if (!this.freeIds(this.spareIds + (this.twins ? 2 : 1))) return undefined
    const id = this.ids.take()
    if (id === undefined) return undefined
    const parent = branch ?? this.index.root(owner.salt)
    const grown = this.index.fork(parent, from, id, owner.tokens, to, this.now(), anchor)
    if (this.twins) grown.twin = this.ids.take() as number
    for (const holder of holders(grown)) this.backend.copyRange(owner.sequence, holder, from, to)
    return grown
  }

  /** Chains are merged, then the coldest idle leaves go, until `wanted` ids are free. */
  private freeIds(wanted: number): boolean {
    while (this.ids.available < wanted) {
      if (this.mergeOneChain()) continue
      const coldest = evictionCandidate(this.index.branches, this.now(), {
        accept: branch => branch.protectedEnd <= branch.start
      })
      if (!coldest) return false
      this.cut(coldest.branch, coldest.branch.start)
    }
    return true
  }

  /** Two branches in a row need one id: the second one's cells move to the first one's holder. */
  private mergeOneChain(): boolean {
    for (const branch of this.index.branches) {
      const continuations = branch.children.get(branch.end)
      const next = continuations?.size === 1 ? continuations.values().next().value : undefined
      if (!next || next.pinnedEnd > next.start) continue
      for (const id of holders(branch)) this.backend.copyRange(next.sequence, id, next.start, next.end)
      this.giveUp(next)
      this.index.merge(branch, next)
      return true
    }
    return false
  }

  private cut(branch: Branch, from: number): number {
    const freed = branch.end - from
    this.onEvict?.(branch, from, branch.end)
    this.beforeFree?.(branch.sequence, from, branch.end)
    const whole = from <= branch.start
    if (whole) this.giveUp(branch)
    else for (const id of holders(branch)) this.backend.removeRange(id, from, -1)
    this.index.truncate(branch, from)
    this.evictedCells += freed
    return freed
  }

  /** A branch's ids are free again. */
  private giveUp(branch: Branch): void {
    for (const id of holders(branch)) {
      this.backend.removeRange(id, 0, -1)
      this.ids.give(id)
    }
  }

  private follow(owner: CacheOwner, path: PathSegment[]): void {
    for (const { branch } of owner.path) branch.unpin(owner)
    owner.path = path
    owner.shared = path.at(-1)?.to ?? 0
    const now = this.now()
    for (const { branch, to } of path) {
      branch.split(to)
      branch.pin(owner, to)
      branch.touch(to, now)
    }
  }

  /** Whether the window layers still have everything that the owner computed: what they lost, they lost from the front. */
  private ownCellsWhole(owner: CacheOwner): boolean {
    return !this.twins || this.backend.minPosition(owner.sequence) <= owner.shared
  }

  /** llama.cpp checks almost nothing: a missing piece would give wrong text without an error (llama-facts: traps). */
  private guard(sequence: number, length: number): boolean {
    const { window } = this.backend.capabilities
    const oldest = window > 0 ? Math.max(0, length - window) : 0
    return this.backend.minPosition(sequence) <= oldest && this.backend.maxPosition(sequence) === length - 1
  }
}

/** The sequence ids that keep a branch's cells. */
function holders({ sequence, twin }: Branch): number[] {
  return twin === -1 ? [sequence] : [sequence, twin]
}

/** Puts `more` behind `path`; segments that follow each other on one branch become one. */
function joined(path: PathSegment[], more: PathSegment[]): PathSegment[] {
  const result = path.slice()
  for (const segment of more) {
    const last = result.at(-1)
    if (last?.branch === segment.branch)
      result[result.length - 1] = { branch: last.branch, from: last.from, to: segment.to }
    else result.push(segment)
  }
  return result
}
