import type { Branch } from '../cache/branch.js'
import { type PathSegment, type PrefixIndex, pathTo } from '../cache/prefix-index.js'
import type { TokenList } from '../token-list.js'
import type { PieceChain, PieceMeta } from './piece.js'
import type { PieceTransfer } from './piece-transfer.js'
import type { TierStore } from './store.js'

interface Job {
  salt: string
  tokens: TokenList
  chain: PieceChain
  /** Positions of the next piece to look at, and of the end. */
  next: number
  end: number
  /** Positions many requests come back to, ascending. */
  anchors: readonly number[]
}

/**
 * Saves resident prefixes to the RAM tier, piece by piece: a few after every step, all that would be lost before an
 * eviction, everything at drain. What a tier has already is not saved again: a turn adds only its own tokens.
 */
export class Spiller {
  savedPieces = 0
  savedBytes = 0
  private readonly jobs: Job[] = []

  constructor(
    private readonly index: PrefixIndex,
    private readonly transfer: PieceTransfer,
    private readonly store: TierStore,
    private readonly now: () => number
  ) {}

  get pending(): boolean {
    return this.jobs.length > 0
  }

  /** Positions [0, end) of these tokens are cached now, and worth keeping. The list may grow meanwhile. */
  enqueue(salt: string, tokens: TokenList, end: number, anchors: readonly number[]): void {
    if (end < MIN_TOKENS) return
    const chain = this.store.chain(salt).extend(tokens.view(0, end))
    this.jobs.push({ salt, tokens, chain, next: 0, end, anchors })
    if (this.jobs.length > MOST_JOBS) this.jobs.shift()
  }

  /** Saves pieces for at most about `budgetMs`, at least one when there is any. Returns whether more is waiting. */
  work(budgetMs: number): boolean {
    const until = this.now() + budgetMs
    for (let job = this.jobs[0]; job; job = this.jobs[0]) {
      if (this.saveNext(job) && this.now() >= until) break
    }
    return this.pending
  }

  /** The cells [from, branch.end) are about to go. */
  beforeEvict(branch: Branch, from: number): void {
    if (branch.end < MIN_TOKENS) return
    const { tokens, path } = pathTo(branch)
    const chain = this.store.chain(branch.salt).extend(tokens)
    const { grid } = this.store
    for (let start = from - (from % grid); start < branch.end; start += grid) {
      this.save(chain, path, start, Math.min(start + grid, branch.end), false)
    }
  }

  /** Saves every leaf that is not in a tier yet. */
  saveAll(): void {
    while (this.work(Number.POSITIVE_INFINITY)) {}
    for (const branch of this.index.branches) this.beforeEvict(branch, branch.start)
  }

  /** What waits to be saved is not worth it any more. */
  forgetAll(): void {
    this.jobs.length = 0
  }

  /** Returns true when something was saved. */
  private saveNext(job: Job): boolean {
    const { chain, salt, tokens, end, anchors } = job
    const start = job.next
    const to = Math.min(start + this.store.grid, end)
    job.next = to
    if (to >= end) this.jobs.shift()
    if (this.covered(chain, start, to)) return false
    const path = this.index.match(salt, tokens, to)
    // Evicted in the meantime: then it was saved on that occasion.
    if ((path.at(-1)?.to ?? 0) < to) return false
    return this.save(
      chain,
      path,
      start,
      to,
      anchors.some(anchor => anchor > start && anchor <= to)
    )
  }

  private save(
    chain: PieceChain,
    path: readonly PathSegment[],
    start: number,
    end: number,
    anchor: boolean
  ): boolean {
    if (this.covered(chain, start, end)) return false
    const blob = this.transfer.save(path, start, end)
    if (!blob) return false
    const meta: PieceMeta = chain.piece(start, end)
    this.store.put(meta, blob, { anchor })
    this.savedPieces++
    this.savedBytes += blob.length
    return true
  }

  /** A tier has this piece, or a longer one that begins with it. */
  private covered(chain: PieceChain, start: number, end: number): boolean {
    const last = this.store.lookup(chain, start, end).at(-1)
    return last !== undefined && last.usable >= end
  }
}

/** Shorter prefixes are computed again sooner than they are found. */
const MIN_TOKENS = 32

/** Beyond this many the oldest are left to eviction. */
const MOST_JOBS = 1000
