import { type Allocation, Arena, DEFAULT_CHUNK_BYTES } from './arena.js'
import { DEFAULT_GRID, type PieceHash, type PieceMeta } from './piece.js'
import { PieceIndex } from './piece-index.js'

/**
 * What an entry costs beside its blob and its token ids: hashes, index nodes, objects. An upper figure; see
 * docs/cache-store.md for the measurement.
 */
export const ENTRY_OVERHEAD_BYTES = 1536

/** Anchors are evicted last, until they hold this share of the chunks; then the oldest of them goes first. */
const ANCHOR_SHARE = 0.8

export interface RamEntry extends PieceMeta {
  /** Size of the blob. */
  readonly bytes: number
  readonly allocation: Allocation
  /** On the way to a place that many requests come back to (end of system + tools, of a user turn). */
  anchor: boolean
  /** Has been used since it was stored. */
  reused: boolean
}

/**
 * `stored`; `known`: was there already; `covered`: a longer piece has the same tokens and more; `collision`: another
 * piece has this hash; `too_large`: above the cap; `no_room`: all that could go is needed more.
 */
export type RamPut = 'stored' | 'known' | 'covered' | 'collision' | 'too_large' | 'no_room'

export interface RamOptions {
  /** Cap of everything held: slabs, token ids, entries. 0 turns the tier off. */
  bytes: number
  grid?: number
  /** Pieces may be cut when they are used, so that a longer one makes a shorter superfluous. */
  cuttable?: boolean
  chunkBytes?: number
  warm?: (slab: SharedArrayBuffer) => Promise<unknown>
  /** Called before an entry is evicted to make room. Whoever wants the blob retains its allocation. */
  onEvict?: (entry: RamEntry) => void
}

export interface RamStats {
  /** What the process holds for this tier now; never above the cap. */
  heldBytes: number
  /** Of these, in use: chunks of blobs (those being written to disk too), token ids, entries. */
  usedBytes: number
  /** Bytes of the blobs themselves. */
  payloadBytes: number
  capBytes: number
  pieces: number
  anchors: number
  puts: Record<RamPut, number>
  evicted: number
  superseded: number
}

/**
 * Blobs in host memory: least recently used goes first, anchors last. Using or storing a piece uses its ancestors
 * too, in an order that leaves the root newest: so the oldest entry is always a leaf, and nothing is evicted from
 * under what needs it.
 */
export class RamTier {
  readonly arena: Arena
  readonly #options: RamOptions
  readonly #cuttable: boolean
  readonly #index = new PieceIndex<RamEntry>()
  /** Oldest first. */
  readonly #live = new Set<RamEntry>()
  readonly #anchors = new Set<RamEntry>()
  /** Pieces there was no room for since something last went: what hangs on them must not push others out. */
  readonly #refused = new Set<PieceHash>()
  #anchorChunks = 0
  #metaBytes = 0
  /** Most that may be held beside chunks. Pieces of the usual grid never get there: each has a chunk at least. */
  readonly #mostMetaBytes: number
  #payloadBytes = 0
  #evicted = 0
  #superseded = 0
  readonly #puts: Record<RamPut, number> = {
    stored: 0,
    known: 0,
    covered: 0,
    collision: 0,
    too_large: 0,
    no_room: 0
  }

  constructor(options: RamOptions) {
    this.#options = options
    this.#cuttable = options.cuttable ?? true
    const chunkBytes = options.chunkBytes ?? DEFAULT_CHUNK_BYTES
    // Every entry has at least one chunk, so reserving the rest of an entry per chunk keeps the cap in every case.
    const beside = 4 + ENTRY_OVERHEAD_BYTES + Math.min(options.grid ?? DEFAULT_GRID, DEFAULT_GRID) * 4
    const chunks = Math.floor(options.bytes / (chunkBytes + beside))
    this.#mostMetaBytes = chunks * beside
    this.arena = new Arena({
      chunks,
      chunkBytes,
      warm: options.warm
    })
  }

  get index(): PieceIndex<RamEntry> {
    return this.#index
  }

  /**
   * Copies a blob in. Evicts what it takes, never an ancestor of the piece.
   */
  put(meta: PieceMeta, blob: Uint8Array, flags: { anchor?: boolean } = {}): RamPut {
    const result = this.#put(meta, blob, flags.anchor ?? false)
    this.#puts[result]++
    return result
  }

  #put(meta: PieceMeta, blob: Uint8Array, anchor: boolean): RamPut {
    const present = this.present(meta, anchor)
    if (present !== 'absent') return present
    if (this.arena.chunksFor(blob.length) > this.arena.maxChunks) return 'too_large'
    const allocation = this.#refused.has(meta.parent) ? null : this.reserve(meta, blob.length)
    if (!allocation) {
      this.#refused.add(meta.hash)
      return 'no_room'
    }
    this.arena.write(allocation, blob)
    this.adopt(meta, allocation, { anchor, reused: false })
    return 'stored'
  }

  /** Whether there is no need to store this piece; if so it counts as used, and becomes an anchor if asked. */
  present(meta: PieceMeta, anchor: boolean): 'known' | 'covered' | 'collision' | 'absent' {
    const known = this.#index.get(meta.hash)
    if (known && !samePiece(known, meta)) return 'collision'
    const entry = known ?? (this.#cuttable ? this.#index.covering(meta) : undefined)
    if (!entry) return 'absent'
    if (anchor) this.#makeAnchor(entry)
    this.#use(entry)
    return known ? 'known' : 'covered'
  }

  /** Room for a blob of this piece, evicting what it takes. Filled by the caller, then adopted or released. */
  reserve(meta: PieceMeta, bytes: number): Allocation | null {
    const wanted = this.arena.chunksFor(bytes)
    const meant = meta.tokens.byteLength + wanted * 4 + ENTRY_OVERHEAD_BYTES
    if (wanted > this.arena.maxChunks || meant > this.#mostMetaBytes) return null
    const missing = () => wanted > this.arena.availableChunks || this.#metaBytes + meant > this.#mostMetaBytes
    if (missing()) {
      for (const old of this.#supersededBy(meta)) this.#dropSuperseded(old)
      const ancestors = new Set(this.#index.ancestors(meta))
      while (missing()) {
        const victim = this.#victim(ancestors)
        if (!victim) return null
        this.#options.onEvict?.(victim)
        this.#remove(victim)
        this.#evicted++
      }
    }
    return this.arena.allocate(bytes)
  }

  /** Makes an entry of a filled allocation; the tails it supersedes go, and leave it their flags. */
  adopt(meta: PieceMeta, allocation: Allocation, flags: { anchor: boolean; reused: boolean }): RamEntry {
    const old = this.#supersededBy(meta)
    let anchor = flags.anchor || old.some(tail => tail.anchor)
    for (const child of this.#index.children(meta.hash)) anchor ||= child.anchor
    const reused = flags.reused || old.some(tail => tail.reused)
    for (const tail of old) this.#dropSuperseded(tail)

    const entry: RamEntry = { ...meta, bytes: allocation.bytes, allocation, anchor: false, reused }
    this.#index.add(entry)
    this.#live.add(entry)
    this.#metaBytes += metaBytes(entry)
    this.#payloadBytes += entry.bytes
    if (anchor) this.#makeAnchor(entry)
    this.#use(entry)
    return entry
  }

  get(hash: PieceHash): RamEntry | undefined {
    return this.#index.get(hash)
  }

  /** Entries in the order of their use, anchors before all others. */
  *newestFirst(): IterableIterator<RamEntry> {
    yield* [...this.#anchors].reverse()
    yield* [...this.#live].reverse()
  }

  /** Copies a blob out, to the beginning of `into`, and counts the entry as reused. */
  read(entry: RamEntry, into: Uint8Array): Uint8Array {
    this.touch(entry)
    return this.arena.read(entry.allocation, into)
  }

  /** Counts as used again, and with it what it hangs on. */
  touch(entry: RamEntry): void {
    entry.reused = true
    for (const ancestor of this.#index.ancestors(entry)) ancestor.reused = true
    this.#use(entry)
  }

  /** Forgets everything, or what belongs to one root. Returns the entries that are gone. */
  clear(root?: PieceHash): RamEntry[] {
    const gone = [...this.#index.values()].filter(entry => root === undefined || entry.root === root)
    for (const entry of gone) this.#remove(entry)
    return gone
  }

  stats(): RamStats {
    const { arena } = this
    return {
      heldBytes: arena.committedBytes + this.#metaBytes,
      usedBytes: arena.usedChunks * arena.chunkBytes + this.#metaBytes,
      payloadBytes: this.#payloadBytes,
      capBytes: this.#options.bytes,
      pieces: this.#index.size,
      anchors: this.#anchors.size,
      puts: { ...this.#puts },
      evicted: this.#evicted,
      superseded: this.#superseded
    }
  }

  /** The entry to evict next that is not in `needed`. */
  #victim(needed: Set<RamEntry>): RamEntry | undefined {
    const anchorsFirst = this.#anchorChunks > this.arena.maxChunks * ANCHOR_SHARE
    const order = anchorsFirst ? [this.#anchors, this.#live] : [this.#live, this.#anchors]
    for (const entries of order) {
      for (const entry of entries) {
        if (!needed.has(entry)) return entry
      }
    }
    return undefined
  }

  #supersededBy(meta: PieceMeta): RamEntry[] {
    return this.#cuttable ? this.#index.superseded(meta) : this.#index.supersededWhole(meta)
  }

  #dropSuperseded(entry: RamEntry): void {
    this.#remove(entry)
    this.#superseded++
  }

  /** An anchor is worth nothing without what comes before it: that becomes anchors too. */
  #makeAnchor(entry: RamEntry): void {
    if (entry.anchor) return
    for (const each of [entry, ...this.#index.ancestors(entry)]) {
      if (each.anchor) break
      each.anchor = true
      this.#live.delete(each)
      this.#anchors.add(each)
      this.#anchorChunks += each.allocation.chunks.length
    }
  }

  #use(entry: RamEntry): void {
    this.#toNewest(entry)
    for (const ancestor of this.#index.ancestors(entry)) this.#toNewest(ancestor)
  }

  #toNewest(entry: RamEntry): void {
    const entries = entry.anchor ? this.#anchors : this.#live
    entries.delete(entry)
    entries.add(entry)
  }

  #remove(entry: RamEntry): void {
    this.#refused.clear()
    this.#index.remove(entry)
    this.#live.delete(entry)
    if (this.#anchors.delete(entry)) this.#anchorChunks -= entry.allocation.chunks.length
    this.#metaBytes -= metaBytes(entry)
    this.#payloadBytes -= entry.bytes
    this.arena.release(entry.allocation)
  }
}

/** Same identity and really the same tokens at the same place. */
export function samePiece(a: PieceMeta, b: PieceMeta): boolean {
  return (
    a.hash === b.hash &&
    a.parent === b.parent &&
    a.root === b.root &&
    a.start === b.start &&
    a.tokens.length === b.tokens.length &&
    a.tokens.every((token, i) => token === b.tokens[i])
  )
}

function metaBytes(entry: RamEntry): number {
  return entry.tokens.byteLength + entry.allocation.chunks.byteLength + ENTRY_OVERHEAD_BYTES
}
