/**
 * Host memory for blobs: slabs of equal chunks, allocated once and reused for ever, since a page fault costs thirty
 * times what the copy costs. A blob takes whole chunks, wherever they are free:
 *
 *     slab 0  [a0|a1|b0|  |c2|a2|..]     a = chunks 0,1,5   b = chunk 2   c = chunks 8,9,4
 *     slab 1  [  |c0|c1|..              (order within a blob is the order of its list)
 *
 * So there is no external fragmentation whatever the sizes: an allocation succeeds when enough chunks are free. The
 * price is the last chunk of each blob, half of it empty on average. Slabs are shared memory: the disk worker reads
 * and writes blobs in place.
 */

export const DEFAULT_CHUNK_BYTES = 64 * 1024
const SLAB_BYTES = 32 * 1024 * 1024

/** Chunks that hold one blob; freed when the last of its holders (the RAM tier, a disk write) lets go. */
export interface Allocation {
  readonly bytes: number
  readonly chunks: Uint32Array
  holders: number
}

/** A run of bytes in shared memory. */
export interface Segment {
  buffer: SharedArrayBuffer
  offset: number
  length: number
}

export interface ArenaOptions {
  /** Most chunks there will ever be. */
  chunks: number
  chunkBytes: number
  /** Touches a fresh slab's pages on another thread. It is used at once when it is needed before that is done. */
  warm?: (slab: SharedArrayBuffer) => Promise<unknown>
}

export class Arena {
  readonly chunkBytes: number
  #maxChunks: number
  readonly #chunksPerSlab: number
  readonly #warm: ArenaOptions['warm']
  readonly #slabs: Array<{ buffer: SharedArrayBuffer; bytes: Uint8Array }> = []
  /** Free chunks; taken from the end. */
  #free: number[] = []
  #warming: SharedArrayBuffer | null = null
  #committed = 0
  #chunks = 0

  constructor(options: ArenaOptions) {
    this.chunkBytes = options.chunkBytes
    this.#maxChunks = options.chunks
    this.#chunksPerSlab = Math.max(1, Math.min(options.chunks, Math.floor(SLAB_BYTES / options.chunkBytes)))
    this.#warm = options.warm
    this.#warmNext()
  }

  /** Less than asked for when the system refused memory. */
  get maxChunks(): number {
    return this.#maxChunks
  }

  /** Bytes of all slabs: what the process holds. */
  get committedBytes(): number {
    return this.#committed
  }

  get usedChunks(): number {
    return this.#chunks - this.#free.length
  }

  /** Chunks that an allocation can still get, slabs not yet made included. */
  get availableChunks(): number {
    return this.#maxChunks - this.usedChunks
  }

  chunksFor(bytes: number): number {
    return Math.max(1, Math.ceil(bytes / this.chunkBytes))
  }

  /** @returns null when there are not enough free chunks. */
  allocate(bytes: number): Allocation | null {
    const wanted = this.chunksFor(bytes)
    if (wanted > this.availableChunks) return null
    while (this.#free.length < wanted) if (!this.#grow()) return null
    const chunks = new Uint32Array(wanted)
    for (let i = 0; i < wanted; i++) chunks[i] = this.#free.pop()!
    this.#warmNext()
    return { bytes, chunks, holders: 1 }
  }

  retain(allocation: Allocation): void {
    allocation.holders++
  }

  release(allocation: Allocation): void {
    if (allocation.holders <= 0) throw new Error('released more often than held')
    if (--allocation.holders > 0) return
    for (let i = allocation.chunks.length - 1; i >= 0; i--) this.#free.push(allocation.chunks[i]!)
  }

  /** Copies a blob of exactly the allocation's size in. */
  write(allocation: Allocation, from: Uint8Array): void {
    let at = 0
    for (const { slab, offset, length } of this.#runs(allocation)) {
      this.#slabs[slab]!.bytes.set(from.subarray(at, at + length), offset)
      at += length
    }
  }

  /** Copies the blob out, to the beginning of `into`; returns that part of it. */
  read(allocation: Allocation, into: Uint8Array): Uint8Array {
    let at = 0
    for (const { slab, offset, length } of this.#runs(allocation)) {
      into.set(this.#slabs[slab]!.bytes.subarray(offset, offset + length), at)
      at += length
    }
    return into.subarray(0, at)
  }

  /** Where the blob lies, in order. Valid as long as the allocation is held. */
  segments(allocation: Allocation): Segment[] {
    return this.#runs(allocation).map(({ slab, offset, length }) => ({
      buffer: this.#slabs[slab]!.buffer,
      offset,
      length
    }))
  }

  /** Neighbouring chunks joined, the last run cut to the blob's size. */
  #runs(allocation: Allocation): Array<{ slab: number; offset: number; length: number }> {
    const runs: Array<{ slab: number; offset: number; length: number }> = []
    let left = allocation.bytes
    for (const chunk of allocation.chunks) {
      const slab = Math.floor(chunk / this.#chunksPerSlab)
      const offset = (chunk % this.#chunksPerSlab) * this.chunkBytes
      const length = Math.min(left, this.chunkBytes)
      const last = runs.at(-1)
      if (last && last.slab === slab && last.offset + last.length === offset) last.length += length
      else runs.push({ slab, offset, length })
      left -= length
    }
    return runs
  }

  #nextSlabChunks(): number {
    return Math.min(this.#chunksPerSlab, this.#maxChunks - this.#chunks)
  }

  #grow(): boolean {
    const buffer = this.#warming ?? this.#commit()
    this.#warming = null
    if (buffer) this.#adopt(buffer)
    return buffer !== null
  }

  /** Null when the system has no more memory: then the arena stays at the size it has. */
  #commit(): SharedArrayBuffer | null {
    try {
      const buffer = new SharedArrayBuffer(this.#nextSlabChunks() * this.chunkBytes)
      this.#committed += buffer.byteLength
      return buffer
    } catch {
      this.#maxChunks = this.#chunks
      return null
    }
  }

  #adopt(buffer: SharedArrayBuffer): void {
    const first = this.#slabs.length * this.#chunksPerSlab
    const count = buffer.byteLength / this.chunkBytes
    this.#slabs.push({ buffer, bytes: new Uint8Array(buffer) })
    this.#chunks += count
    // Below the free chunks of older slabs, whose pages are there already.
    const fresh: number[] = []
    for (let i = count - 1; i >= 0; i--) fresh.push(first + i)
    this.#free = fresh.concat(this.#free)
  }

  /** Has the next slab made ready when half a slab is left. */
  #warmNext(): void {
    if (!this.#warm || this.#warming || this.#chunks >= this.#maxChunks) return
    if (this.#free.length > this.#chunksPerSlab / 2) return
    const buffer = this.#commit()
    if (!buffer) return
    this.#warming = buffer
    const done = () => {
      if (this.#warming !== buffer) return
      this.#warming = null
      this.#adopt(buffer)
    }
    this.#warm(buffer).then(done, done)
  }
}
