import { setTimeout as sleep } from 'node:timers/promises'
import type { Allocation } from './arena.js'
import { type DiskEntry, type DiskStats, DiskTier } from './disk/disk.js'
import type { Fault } from './disk/faults.js'
import type { WorkerPort } from './disk/worker-link.js'
import { commonLength, DEFAULT_GRID, PieceChain, type PieceHash, type PieceMeta } from './piece.js'
import { type RamEntry, type RamPut, type RamStats, RamTier } from './ram.js'
import { warmSlab } from './warm-slab.js'
import { type FlushResult, WritePolicy } from './write-policy.js'

export type { FlushResult } from './write-policy.js'

export type Tier = 'ram' | 'disk'

/** A piece found for a prompt. */
export interface PieceRef {
  hash: PieceHash
  start: number
  /** Position after the piece's last token. */
  end: number
  /** Position up to which the piece has the prompt's tokens: below `end`, the rest must be cut off after restoring. */
  usable: number
  /** Size of the blob. */
  bytes: number
  tier: Tier
}

export interface StoreOptions {
  /** Cap of host memory, bytes. 0: nothing is kept, in memory or on disk (what goes to disk goes through memory). */
  ramBytes: number
  /** Null: no disk tier. */
  disk: {
    folder: string
    fingerprint: string
    label: string
    capBytes: number
    dailyWriteBytes: number | null
  } | null
  grid?: number
  /** False for models whose pieces must be used whole (running states). Default true. */
  cuttable?: boolean
  /** Called once for each kind of fault. */
  onFault?: (fault: Fault) => void
  /** How long an anchor may be superseded before it is written. Default 2000 ms. */
  writeBehindMs?: number
  chunkBytes?: number
  /** Touch memory before it is needed, on another thread. Default true; false where a process makes many stores. */
  touchesAhead?: boolean
  readTimeoutMs?: number
  spawn?: () => WorkerPort
}

export type MissReason = 'new' | 'evicted' | 'model_changed' | 'disabled'

export interface StoreStats {
  ram: RamStats
  disk: DiskStats | null
  /** Pieces loaded, by the tier they came from. */
  hits: Record<Tier, number>
  /** Loads that came to nothing after all. */
  failedLoads: number
  /** Answers of `missReason`. */
  misses: Record<MissReason, number>
}

/** Touching a slab keeps the worker for 10 ms: reads that somebody waits for go first. */
const WARM_DELAY_MS = 200
/** Hashes remembered after eviction, to tell `evicted` from `new`. */
const REMEMBERED = 16_384
/** Share of the RAM cap that may wait to be written. */
const QUEUE_SHARE = 0.25

/**
 * Pieces of prompts kept outside of the pool: in host memory, and behind that on disk. What is here is a cache: every
 * answer may be a miss, none is ever wrong.
 */
export class TierStore {
  readonly grid: number
  /** Resolves when the disk's index is complete; until then lookups see what is there. */
  readonly ready: Promise<void>
  readonly #options: StoreOptions
  readonly #cuttable: boolean
  readonly #ram: RamTier
  readonly #disk: DiskTier | null
  readonly #policy: WritePolicy | null
  readonly #evicted = new Set<PieceHash>()
  readonly #fetching = new Map<PieceHash, Promise<boolean>>()
  /** Fetched and not loaded yet: the load will count for the disk. */
  readonly #arrived = new Set<PieceHash>()
  readonly #hits: Record<Tier, number> = { ram: 0, disk: 0 }
  readonly #misses: Record<MissReason, number> = { new: 0, evicted: 0, model_changed: 0, disabled: 0 }
  #failedLoads = 0
  #scratch = new Uint8Array(0)

  constructor(options: StoreOptions) {
    this.#options = options
    this.grid = options.grid ?? DEFAULT_GRID
    this.#cuttable = options.cuttable ?? true
    const withDisk = options.disk && options.disk.capBytes > 0 && options.ramBytes > 0
    this.#ram = new RamTier({
      bytes: options.ramBytes,
      grid: this.grid,
      cuttable: this.#cuttable,
      chunkBytes: options.chunkBytes,
      warm: options.touchesAhead === false ? undefined : withDisk ? slab => this.#warmByDisk(slab) : warmSlab,
      onEvict: entry => this.#onEvict(entry)
    })
    this.#disk = withDisk
      ? new DiskTier({
          ...options.disk!,
          arena: this.#ram.arena,
          cuttable: this.#cuttable,
          queueBytes: options.ramBytes * QUEUE_SHARE,
          onFault: options.onFault,
          readTimeoutMs: options.readTimeoutMs,
          spawn: options.spawn
        })
      : null
    this.#policy = this.#disk
      ? new WritePolicy(this.#ram, this.#disk, {
          capBytes: options.disk!.capBytes,
          delayMs: options.writeBehindMs ?? 2000
        })
      : null
    this.ready = this.#disk?.ready ?? Promise.resolve()
  }

  /** Later, since the first slab is made before the disk's worker is there, and others while it is about to read. */
  async #warmByDisk(slab: SharedArrayBuffer): Promise<void> {
    await sleep(this.#disk ? WARM_DELAY_MS : 0, undefined, { ref: false })
    await this.#disk?.warm(slab)
  }

  /** A chain for a request's tokens. Keep it with the request: hashes are computed once. */
  chain(salt: string): PieceChain {
    return new PieceChain(salt, this.grid)
  }

  /**
   * The pieces that continue a prompt from position `from`, in order and without a gap: full pieces as far as there
   * are, then the piece that agrees with the prompt longest. The first one begins at or before `from`, and the last
   * one's `usable` is beyond it; none when nothing goes beyond. No I/O, and nothing counts as used by it.
   * @param limit position beyond which the prompt needs nothing. Default: its length.
   */
  lookup(chain: PieceChain, from: number, limit: number = chain.length): PieceRef[] {
    const end = Math.min(limit, chain.length)
    const refs: PieceRef[] = []
    let start = from - (from % this.grid)
    if (start > chain.length) return refs
    for (; start + this.grid <= end; start += this.grid) {
      const found = this.#find(chain.hashAt(start / this.grid))
      if (!found || !this.#agrees(found.entry, chain, start)) break
      refs.push(makeRef(found.entry, found.tier, start + this.grid))
    }
    if (start < end) {
      const best = this.#bestChild(chain, start, end)
      if (best && start + best.common > from) {
        refs.push(makeRef(best.entry, best.tier, start + best.common))
      }
    }
    return refs
  }

  #find(hash: PieceHash): { entry: RamEntry | DiskEntry; tier: Tier } | undefined {
    const inRam = this.#ram.get(hash)
    if (inRam) return { entry: inRam, tier: 'ram' }
    const onDisk = this.#disk?.index.get(hash)
    return onDisk && { entry: onDisk, tier: 'disk' }
  }

  /** A hash is not proof: the tokens are compared. */
  #agrees(entry: PieceMeta, chain: PieceChain, start: number): boolean {
    const { tokens } = entry
    if (entry.start !== start || entry.root !== chain.root || tokens.length !== this.grid) return false
    return commonLength(tokens, chain.tokens, start, start + this.grid) === this.grid
  }

  #bestChild(chain: PieceChain, start: number, end: number) {
    const parent = chain.parentAt(start)
    const whole = !this.#cuttable
    const inRam = this.#ram.index.bestChild(parent, chain.tokens, start, end, whole)
    const onDisk = this.#disk?.index.bestChild(parent, chain.tokens, start, end, whole)
    if (onDisk && onDisk.common > (inRam?.common ?? 0)) {
      return { ...(onDisk as { entry: RamEntry | DiskEntry; common: number }), tier: 'disk' as const }
    }
    return inRam && { ...(inRam as { entry: RamEntry | DiskEntry; common: number }), tier: 'ram' as const }
  }

  /** Why nothing is known of a prompt beyond `from`. Counted. */
  missReason(chain: PieceChain, from: number): MissReason {
    const reason = this.#missReason(chain, from)
    this.#misses[reason]++
    return reason
  }

  #missReason(chain: PieceChain, from: number): MissReason {
    if (this.#options.ramBytes === 0) return 'disabled'
    const index = Math.floor(from / this.grid)
    if (index >= chain.fullPieces) return 'new'
    const hash = chain.hashAt(index)
    if (this.#evicted.has(hash)) return 'evicted'
    return this.#disk?.isForeign(hash) ? 'model_changed' : 'new'
  }

  /** Whether this piece is in a tier: there is no need to put it again. */
  has(hash: PieceHash): boolean {
    return this.#find(hash) !== undefined
  }

  /**
   * Copies a blob into memory.
   * @param flags.anchor many requests come back to the end of this piece: it is kept longer, and written to disk soon.
   * @param flags.durable write it to disk now.
   */
  put(meta: PieceMeta, blob: Uint8Array, flags: { anchor?: boolean; durable?: boolean } = {}): RamPut {
    const result = this.#ram.put(meta, blob, flags)
    if (result === 'stored' || result === 'known' || result === 'covered') {
      this.#evicted.delete(meta.hash)
      const entry = this.#ram.get(meta.hash) ?? this.#ram.index.covering(meta)
      if (entry && flags.durable) this.#policy?.now(entry)
      else if (entry?.anchor) this.#policy?.soon(entry)
    }
    return result
  }

  /**
   * The blob of a piece. From memory at once: a view that holds until the next call of `load` (or, with `into`, the
   * beginning of that buffer). From disk as a promise of bytes of the caller's own; null: a miss after all.
   * A caller that cannot use the bytes at any time awaits `fetch` and then loads from memory.
   */
  load(ref: PieceRef, into?: Uint8Array): Uint8Array | Promise<Uint8Array | null> {
    const entry = this.#ram.get(ref.hash)
    if (!entry) return this.#loadFromDisk(ref, into)
    this.#hits[this.#arrived.delete(ref.hash) ? 'disk' : 'ram']++
    return this.#read(entry, into ?? this.#scratchOf(entry.bytes))
  }

  async #loadFromDisk(ref: PieceRef, into?: Uint8Array): Promise<Uint8Array | null> {
    if (!(await this.fetch(ref))) return null
    const entry = this.#ram.get(ref.hash)
    if (!entry) return null
    this.#hits[this.#arrived.delete(ref.hash) ? 'disk' : 'ram']++
    return this.#read(entry, into ?? new Uint8Array(entry.bytes))
  }

  #read(entry: RamEntry, into: Uint8Array): Uint8Array {
    this.#disk?.touch(entry.hash)
    return this.#ram.read(entry, into)
  }

  #scratchOf(bytes: number): Uint8Array {
    if (this.#scratch.length < bytes) this.#scratch = new Uint8Array(bytes)
    return this.#scratch
  }

  /** Brings a piece from disk into memory. True: it is there now (until it is evicted, as the newest). */
  fetch(ref: PieceRef): Promise<boolean> {
    if (this.#ram.get(ref.hash)) return Promise.resolve(true)
    const underWay = this.#fetching.get(ref.hash)
    if (underWay !== undefined) return underWay
    const fetched = this.#fetch(ref.hash).then(ok => {
      this.#fetching.delete(ref.hash)
      if (ok) this.#arrived.add(ref.hash)
      else this.#failedLoads++
      return ok
    })
    this.#fetching.set(ref.hash, fetched)
    return fetched
  }

  async #fetch(hash: PieceHash): Promise<boolean> {
    const entry = this.#disk?.index.get(hash)
    if (!entry) return false
    if (entry.pending) return this.#adopt(entry, this.#shared(entry.pending))
    const allocation = this.#ram.reserve(entry, entry.bytes)
    if (!allocation) return false
    const ok = await this.#disk!.read(entry, allocation)
    // Cleared meanwhile: then it must not come back.
    if (ok && this.#disk!.index.get(hash) === entry) return this.#adopt(entry, allocation)
    this.#ram.arena.release(allocation)
    return false
  }

  #shared(allocation: Allocation): Allocation {
    this.#ram.arena.retain(allocation)
    return allocation
  }

  /** Puts what came from disk into the RAM tier, unless that has it, or better, by now. */
  #adopt(entry: DiskEntry, allocation: Allocation): boolean {
    const { root, parent, hash, start, tokens, anchor } = entry
    const meta = { root, parent, hash, start, tokens }
    const present = this.#ram.present(meta, anchor)
    if (present !== 'absent') this.#ram.arena.release(allocation)
    else this.#ram.adopt(meta, allocation, { anchor, reused: true })
    return present === 'absent' || present === 'known'
  }

  /** Counts the prompt's pieces up to `to` as used: its cells are in the pool and in use. */
  touch(chain: PieceChain, to: number): void {
    const last = Math.min(Math.floor(to / this.grid), chain.fullPieces) - 1
    let deepest: RamEntry | undefined
    for (let i = last; i >= 0; i--) {
      const hash = chain.hashAt(i)
      this.#disk?.touch(hash)
      deepest ??= this.#ram.get(hash)
    }
    if (deepest) this.#ram.touch(deepest)
  }

  /** Forgets everything of this model, or of one salt, in memory and on disk. Returns the number of pieces. */
  clear(options: { salt?: string } = {}): number {
    const root = options.salt === undefined ? undefined : this.chain(options.salt).root
    const hashes = new Set(this.#ram.clear(root).map(entry => entry.hash))
    for (const entry of this.#disk?.index.values() ?? []) {
      if (root === undefined || entry.root === root) hashes.add(entry.hash)
    }
    this.#disk?.clear(root)
    this.#evicted.clear()
    return hashes.size
  }

  /** Writes what is in memory and not on disk: anchors first, then the most recently used, up to the disk's cap. */
  async flush(options: { deadlineMs?: number } = {}): Promise<FlushResult> {
    if (!this.#policy) return { complete: false, pieces: 0, bytes: 0 }
    return this.#policy.flush(options.deadlineMs ?? 10_000)
  }

  /** Flushes within the deadline, then ends. Nothing may be called afterwards. */
  async close(options: { deadlineMs?: number } = {}): Promise<FlushResult> {
    const result = await this.flush(options)
    this.#policy?.end()
    await this.#disk?.close()
    return result
  }

  stats(): StoreStats {
    return {
      ram: this.#ram.stats(),
      disk: this.#disk?.stats() ?? null,
      hits: { ...this.#hits },
      failedLoads: this.#failedLoads,
      misses: { ...this.#misses }
    }
  }

  #onEvict(entry: RamEntry): void {
    this.#arrived.delete(entry.hash)
    this.#policy?.evicting(entry)
    if (this.#disk?.index.get(entry.hash)) return
    this.#evicted.add(entry.hash)
    if (this.#evicted.size > REMEMBERED) this.#evicted.delete(this.#evicted.values().next().value!)
  }
}

function makeRef(entry: RamEntry | DiskEntry, tier: Tier, usable: number): PieceRef {
  const { hash, start, tokens, bytes } = entry
  return { hash, start, end: start + tokens.length, usable, bytes, tier }
}
