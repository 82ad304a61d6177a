import type { Backend } from '../backend.js'
import type { PrefixCache } from '../cache/prefix-cache.js'
import { SnapshotCache } from '../cache/snapshot-cache.js'
import type { SequenceIds } from '../pool/sequence-ids.js'
import type { Stream } from '../scheduler/stream.js'
import { CostModel } from './cost-model.js'
import type { PieceChain } from './piece.js'
import { PieceTransfer } from './piece-transfer.js'
import { Restorer } from './restorer.js'
import { SnapshotSpiller } from './snapshot-spiller.js'
import { Spiller } from './spiller.js'
import type { TierStore } from './store.js'
import { WholeTransfer } from './whole-transfer.js'

/** Milliseconds of saving and restoring after a step: while streams decode, and while nothing does. */
const BUSY_MS = 1
const QUIET_MS = 20
/** Bringing prefixes back may take this part of a long step's time: somebody waits for them through such steps. */
const BUSY_SHARE = 0.3
/** A whole state may take this share of the RAM tier. */
const MOST_OF_RAM = 1 / 8

export interface PoolTiersOptions {
  backend: Backend
  cache: PrefixCache | SnapshotCache
  ids: SequenceIds
  store: TierStore
  /** Makes room for this many cells; false when there is none. */
  makeRoom: (cells: number) => boolean
  awaken: () => void
  now: () => number
}

/**
 * What lies below the pool: prefixes go down as pieces (RAM, then disk) and come back where that is cheaper. Of models
 * with a running state a piece is a whole prefix.
 */
export class PoolTiers {
  readonly store: TierStore
  /** The sequence id that pieces pass through; empty between steps. */
  readonly scratchId: number
  readonly cost = new CostModel()
  readonly spiller: Spiller | SnapshotSpiller
  readonly restorer: Restorer
  private readonly cache: PrefixCache | SnapshotCache
  private readonly chains = new WeakMap<Stream, PieceChain>()

  constructor({ backend, cache, ids, store, makeRoom, awaken, now }: PoolTiersOptions) {
    const scratch = ids.take()
    if (scratch === undefined) throw new Error('no sequence id is left for the tiers')
    this.scratchId = scratch
    this.store = store
    this.cache = cache
    if (cache instanceof SnapshotCache) {
      const transfer = new WholeTransfer(backend, scratch)
      const mostBytes = store.stats().ram.capBytes * MOST_OF_RAM
      this.spiller = new SnapshotSpiller(cache, transfer, store, mostBytes, now)
      this.restorer = new Restorer(transfer, store, this.cost, makeRoom, awaken, now, (stream, to) => {
        // It is attached to nothing then, and has a sequence of its own that is worth a snapshot.
        cache.release(stream)
        stream.boundaries = [...(stream.boundaries ?? []), to].sort((a, b) => a - b)
      })
    } else {
      const transfer = new PieceTransfer(backend, scratch)
      const spiller = new Spiller(cache.index, transfer, store, now)
      this.spiller = spiller
      this.restorer = new Restorer(transfer, store, this.cost, makeRoom, awaken, now)
      cache.onEvict = (branch, from) => spiller.beforeEvict(branch, from)
    }
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

  /** Restores for streams that began; returns those that are done. The last step took `stepMs`. */
  restore(decoding: boolean, stepMs: number, onProgress: (stream: Stream) => void): Stream[] {
    return this.restorer.work(decoding ? Math.max(BUSY_MS, BUSY_SHARE * stepMs) : QUIET_MS, onProgress)
  }

  /** Saves some of what is new. Returns whether more is waiting. */
  spill(decoding: boolean): boolean {
    return this.spiller.pending && this.spiller.work(decoding ? 0 : QUIET_MS)
  }

  /** A stream's tokens [0, shared) are in the cache: its prompt, or its answer as well. */
  keep(stream: Stream): void {
    // Snapshots tell by themselves.
    if (this.spiller instanceof SnapshotSpiller) return
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
    const freed = clearSilently(this.cache)
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

/** Nothing of what goes is saved. */
function clearSilently<C extends { onEvict: unknown; clear(): number }>(cache: C): number {
  const { onEvict } = cache
  cache.onEvict = null
  const freed = cache.clear()
  cache.onEvict = onEvict
  return freed
}
