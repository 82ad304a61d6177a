import type { Backend } from '../backend.js'
import type { PrefixCache } from '../cache/prefix-cache.js'
import type { SequenceIds } from '../pool/sequence-ids.js'
import type { Stream } from '../scheduler/stream.js'
import { CostModel } from './cost-model.js'
import type { PieceChain } from './piece.js'
import { PieceTransfer } from './piece-transfer.js'
import { Restorer } from './restorer.js'
import { Spiller } from './spiller.js'
import type { TierStore } from './store.js'

/** Milliseconds of saving and restoring after a step: while streams decode, and while nothing does. */
const BUSY_MS = 1
const QUIET_MS = 20

export interface PoolTiersOptions {
  backend: Backend
  cache: PrefixCache
  ids: SequenceIds
  store: TierStore
  /** Makes room for this many cells; false when there is none. */
  makeRoom: (cells: number) => boolean
  awaken: () => void
  now: () => number
}

/** What lies below the pool: prefixes go down as pieces (RAM, then disk) and come back where that is cheaper. */
export class PoolTiers {
  readonly store: TierStore
  /** The sequence id that pieces pass through; empty between steps. */
  readonly scratchId: number
  readonly cost = new CostModel()
  readonly spiller: Spiller
  readonly restorer: Restorer
  private readonly cache: PrefixCache
  private readonly chains = new WeakMap<Stream, PieceChain>()

  constructor({ backend, cache, ids, store, makeRoom, awaken, now }: PoolTiersOptions) {
    const scratch = ids.take()
    if (scratch === undefined) throw new Error('no sequence id is left for the tiers')
    const transfer = new PieceTransfer(backend, scratch)
    this.scratchId = scratch
    this.store = store
    this.cache = cache
    this.spiller = new Spiller(cache.index, transfer, store, now)
    this.restorer = new Restorer(transfer, store, this.cost, makeRoom, awaken, now)
    cache.onEvict = (branch, from) => this.spiller.beforeEvict(branch, from)
  }

  /** A stream has started and is attached to what is resident. Returns whether a tier has more. */
  begin(stream: Stream, limit: number): boolean {
    const chain = this.chainOf(stream)
    if (stream.computed > 0) this.store.touch(chain, stream.computed)
    const known = this.restorer.begin(stream, chain, limit)
    const reached = known ?? stream.computed
    if (reached < limit) stream.missReason ??= this.store.missReason(chain, reached)
    return known !== null
  }

  /** Restores for streams that began; returns those that are done. */
  restore(decoding: boolean, onProgress: (stream: Stream) => void): Stream[] {
    return this.restorer.work(decoding ? BUSY_MS : QUIET_MS, onProgress)
  }

  /** Saves some of what is new. Returns whether more is waiting. */
  spill(decoding: boolean): boolean {
    return this.spiller.pending && this.spiller.work(decoding ? 0 : QUIET_MS)
  }

  /** A stream's tokens [0, shared) are in the cache: its prompt, or its answer as well. */
  keep(stream: Stream): void {
    const anchors = [...stream.anchors, stream.promptLength]
    this.spiller.enqueue(stream.salt, stream.tokens, stream.shared, anchors)
  }

  /** Everything resident goes to RAM, and everything in RAM that is worth it to disk. Returns bytes written to disk. */
  async drain(deadlineMs: number): Promise<number> {
    this.spiller.saveAll()
    const { bytes } = await this.store.close({ deadlineMs })
    return bytes
  }

  /** Forgets what no stream is attached to, in every tier. */
  clear(): number {
    this.spiller.forgetAll()
    const { onEvict } = this.cache
    this.cache.onEvict = null
    const freed = this.cache.clear()
    this.cache.onEvict = onEvict
    this.store.clear()
    return freed
  }

  private chainOf(stream: Stream): PieceChain {
    let chain = this.chains.get(stream)
    if (!chain) {
      chain = this.store.chain(stream.salt)
      this.chains.set(stream, chain)
    }
    return chain.extend(stream.tokens.view())
  }
}
