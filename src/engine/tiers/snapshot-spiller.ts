import type { Snapshot, SnapshotCache } from '../cache/snapshot-cache.js'
import { WHOLE_GRID } from './piece.js'
import type { TierStore } from './store.js'
import type { WholeTransfer } from './whole-transfer.js'

/**
 * Saves snapshots to the RAM tier, each as one blob: when nothing runs, before they are evicted, at drain. A snapshot is
 * a whole prefix, so much less is saved than of a model whose prefixes can be cut: of a conversation the last two (the
 * end of its last prompt and of the answer), and the beginning that others share (the first anchor), not what lies
 * between.
 */
export class SnapshotSpiller {
  savedPieces = 0
  savedBytes = 0
  private readonly waiting = new Set<Snapshot>()

  constructor(
    private readonly cache: SnapshotCache,
    private readonly transfer: WholeTransfer,
    private readonly store: TierStore,
    /** Larger states live in the pool only, bytes. */
    private readonly mostBytes: number,
    private readonly now: () => number
  ) {
    cache.onCapture = snapshot => {
      if (snapshot.tokens.length < WHOLE_GRID) this.waiting.add(snapshot)
    }
    cache.onEvict = snapshot => this.save(snapshot)
  }

  get pending(): boolean {
    return this.waiting.size > 0
  }

  /**
   * Saves for at most about `budgetMs`; with none, nothing: a state may be large, and streams decode.
   * @returns whether more is waiting.
   */
  work(budgetMs: number): boolean {
    const until = this.now() + budgetMs
    for (const snapshot of this.waiting) {
      if (this.now() >= until) break
      this.save(snapshot)
    }
    return this.pending
  }

  saveAll(): void {
    for (const snapshot of this.cache.all()) this.save(snapshot)
  }

  /** What waits to be saved is not worth it any more. */
  forgetAll(): void {
    this.waiting.clear()
  }

  private save(snapshot: Snapshot): void {
    this.waiting.delete(snapshot)
    const { salt, tokens, sequence } = snapshot
    const { length } = tokens
    if (!this.cache.has(snapshot) || length < MIN_TOKENS || length >= WHOLE_GRID) return
    const shared = isShared(snapshot)
    if (!shared && this.cache.continuations(snapshot) > 1) return
    const chain = this.store.chain(salt).extend(tokens)
    const meta = chain.piece(0, length)
    if (this.store.has(meta.hash)) return
    const blob = this.transfer.save(sequence, this.mostBytes)
    if (!blob) return
    this.store.put(meta, blob, { anchor: shared })
    this.savedPieces++
    this.savedBytes += blob.length
  }
}

/** The end of system and tools, which all conversations go on from; later anchors belong to one. */
function isShared({ anchor, runs }: Snapshot): boolean {
  return anchor && runs.length === 1
}

/** Shorter prefixes are computed again sooner than they are found. */
const MIN_TOKENS = 32
