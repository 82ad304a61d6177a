import type { Stream } from '../scheduler/stream.js'
import type { CostModel } from './cost-model.js'
import type { PieceChain } from './piece.js'
import type { PieceRef, TierStore } from './store.js'

/** Puts saved cells back into a sequence. See PieceTransfer and WholeTransfer. */
export interface Transfer {
  restore(
    blob: Uint8Array,
    piece: { start: number; end: number },
    sequence: number,
    from: number,
    to: number,
    /** Called before what the sequence holds is replaced, where it is. */
    onReplace: () => void
  ): boolean
}

/** What is left to bring back for one stream. */
interface Restoration {
  refs: PieceRef[]
  /** Pieces on disk are fetched into memory beforehand: null while that is under way, false when it failed. */
  fetched: Map<PieceRef, { begun: number; ok: boolean | null }>
  /** When the piece before was there: what a piece costs is what it adds to that. */
  lastAt: number
}

/** Fetches from disk for one stream at a time: at least so many, and as many more as these bytes hold. */
const READ_AHEAD = { pieces: 4, bytes: 32 * 1024 * 1024 }

/** Brings prefixes back from RAM and disk where that is cheaper than computing them: some pieces per step. */
export class Restorer {
  /** Bytes of blobs, by the tier they came from. */
  readonly restoredBytes = { ram: 0, disk: 0 }
  private readonly active = new Map<Stream, Restoration>()

  constructor(
    private readonly transfer: Transfer,
    private readonly store: TierStore,
    private readonly cost: CostModel,
    /** Makes room for this many cells; false when there is none. */
    private readonly makeRoom: (cells: number) => boolean,
    /** A fetch has ended: a step may go on. */
    private readonly awaken: () => void,
    private readonly now: () => number,
    /** What the stream's sequence holds is about to be replaced by positions [0, to). */
    private readonly onReplace: (stream: Stream, to: number) => void = () => {}
  ) {}

  isRestoring(stream: Stream): boolean {
    return this.active.has(stream)
  }

  /**
   * Looks for pieces that continue what the stream is attached to.
   * @param limit no further than this.
   * @returns up to which position there is something to restore; null: there is nothing.
   */
  begin(stream: Stream, chain: PieceChain, limit: number): number | null {
    const found = this.store.lookup(chain, stream.computed, limit)
    const refs: PieceRef[] = []
    let depth = stream.computed
    for (const ref of found) {
      const tokens = Math.min(ref.usable, limit) - depth
      if (tokens <= 0) continue
      if (!this.cost.worthRestoring(tokens, depth, ref.tier, ref.bytes)) {
        stream.missReason = 'below_cost'
        break
      }
      refs.push(ref)
      depth += tokens
    }
    if (refs.length === 0) return null
    this.active.set(stream, { refs, fetched: new Map(), lastAt: Number.NEGATIVE_INFINITY })
    return depth
  }

  /** The stream left: nothing more is restored for it. */
  forget(stream: Stream): void {
    this.active.delete(stream)
  }

  /**
   * Restores pieces for at most about `budgetMs`.
   * @param onProgress the stream's `computed` has grown: its new cells can be shared.
   * @returns streams that are done.
   */
  work(budgetMs: number, onProgress: (stream: Stream) => void): Stream[] {
    const until = this.now() + budgetMs
    const done: Stream[] = []
    for (const [stream, restoration] of this.active) {
      while (restoration.refs.length > 0) {
        this.readAhead(restoration)
        const ref = restoration.refs[0] as PieceRef
        if (ref.tier === 'disk' && restoration.fetched.get(ref)?.ok === null) break
        if (!this.restoreOne(stream, ref, restoration)) restoration.refs = []
        else {
          restoration.refs.shift()
          onProgress(stream)
        }
        if (this.now() >= until) break
      }
      if (restoration.refs.length === 0) {
        this.active.delete(stream)
        done.push(stream)
      }
      if (this.now() >= until) break
    }
    return done
  }

  /** Something could be restored at once: nobody has to be waited for. */
  get ready(): boolean {
    for (const { refs, fetched } of this.active.values()) {
      const [first] = refs
      if (!first || first.tier === 'ram' || fetched.get(first)?.ok !== null) return true
    }
    return false
  }

  private readAhead({ refs, fetched }: Restoration): void {
    let bytes = 0
    for (const [i, ref] of refs.entries()) {
      bytes += ref.bytes
      if (i >= READ_AHEAD.pieces && bytes > READ_AHEAD.bytes) break
      if (ref.tier !== 'disk' || fetched.has(ref)) continue
      const fetch: { begun: number; ok: boolean | null } = { begun: this.now(), ok: null }
      fetched.set(ref, fetch)
      const ended = (ok: boolean) => {
        fetch.ok = ok
        this.awaken()
      }
      this.store.fetch(ref).then(ended, () => ended(false))
    }
  }

  private restoreOne(stream: Stream, ref: PieceRef, restoration: Restoration): boolean {
    const fetch = restoration.fetched.get(ref)
    if (fetch?.ok === false) return false
    const from = stream.computed
    if (!this.makeRoom(ref.end - ref.start)) return false
    const begun = Math.max(fetch?.begun ?? this.now(), restoration.lastAt)
    // In memory now, or gone: a promise would mean that it was evicted again since it was fetched.
    const blob = this.store.load({ ...ref, tier: 'ram' })
    if (!(blob instanceof Uint8Array)) return false
    const onReplace = () => this.onReplace(stream, ref.usable)
    if (!this.transfer.restore(blob, ref, stream.sequence, from, ref.usable, onReplace)) return false
    stream.computed = ref.usable
    stream.restored[ref.tier] += ref.usable - from
    this.restoredBytes[ref.tier] += ref.bytes
    restoration.lastAt = this.now()
    this.cost.observeRestore(ref.tier, ref.bytes, restoration.lastAt - begun)
    return true
  }
}
