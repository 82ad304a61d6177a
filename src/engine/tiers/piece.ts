import { createHash } from 'node:crypto'
import type { Capabilities } from '../backend.js'

/** Tokens of a full piece, unless the store is told otherwise. */
export const DEFAULT_GRID = 256

/** A grid so wide that every prefix is one piece; longer ones are not kept. What a file's header can hold. */
export const WHOLE_GRID = 65_536

/**
 * How prefixes of a model with this memory are cut. The library saves of a sequence with a sliding window only the
 * window before its end: a piece no longer than that is saved whole, and can be cut and joined like any other. A running
 * state exists only at a sequence's end: a prefix is one piece, used whole (docs/memory-kinds.md).
 */
export function cutFor({ memory, window }: Pick<Capabilities, 'memory' | 'window'>): {
  grid: number
  cuttable: boolean
} {
  if (memory === 'attention') return { grid: DEFAULT_GRID, cuttable: true }
  if (memory === 'window') return { grid: Math.min(DEFAULT_GRID, window), cuttable: true }
  return { grid: WHOLE_GRID, cuttable: false }
}

/** 160 bits of SHA-256 in hex: the identity of a piece, of its parent, or of a salt (the root of its chains). */
export type PieceHash = string

/** Characters of a PieceHash. */
export const HASH_LENGTH = 40

/**
 * What a piece is: `tokens` at the positions [start, start + tokens.length), after everything that `parent` stands
 * for. `start` is a multiple of the grid and there are at most grid tokens; with fewer it is a *tail*.
 */
export interface PieceMeta {
  /** Digest of the salt: pieces of different salts never meet. */
  root: PieceHash
  /** Hash of the piece that ends at `start`; the root for start 0. */
  parent: PieceHash
  hash: PieceHash
  start: number
  tokens: Int32Array
}

/** Where the chains of a salt begin. The grid is part of it: stores cut on different grids share nothing. */
export function rootHash(salt: string, grid: number = DEFAULT_GRID): PieceHash {
  return digest(createHash('sha256').update(`octavo prefix chain 1\0${grid}\0`).update(salt))
}

/** The identity of the piece with these tokens after `parent`. */
export function pieceHash(parent: PieceHash, tokens: Int32Array): PieceHash {
  return digest(createHash('sha256').update(parent, 'latin1').update(tokenBytes(tokens)))
}

function digest(hash: ReturnType<typeof createHash>): PieceHash {
  // Not a slice of the whole digest's hex: that would keep the whole alive.
  return hash.digest().toString('hex', 0, HASH_LENGTH / 2)
}

/** The bytes of token ids, no copy. Little-endian on every platform that llama.cpp's binaries exist for here. */
export function tokenBytes(tokens: Int32Array): Uint8Array {
  return new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength)
}

/** How many tokens `piece` has in common with `prompt` from position `start` on, looking no further than `end`. */
export function commonLength(piece: Int32Array, prompt: Int32Array, start: number, end: number): number {
  const most = Math.min(piece.length, end - start)
  let n = 0
  while (n < most && piece[n] === prompt[start + n]) n++
  return n
}

/** Whether `shorter` is a beginning of `longer`, and not all of it. */
export function isProperPrefix(shorter: Int32Array, longer: Int32Array): boolean {
  return shorter.length < longer.length && commonLength(shorter, longer, 0, shorter.length) === shorter.length
}

/**
 * The chain of one request: its tokens cut on the grid, with each full piece's hash computed once, when asked for.
 * Costs about 6 us per thousand tokens.
 */
export class PieceChain {
  readonly root: PieceHash
  readonly grid: number
  #tokens: Int32Array = new Int32Array(0)
  #length = 0
  /** Hashes of the full pieces 0, 1, ... as far as they were needed. */
  readonly #hashes: PieceHash[] = []

  constructor(salt: string, grid: number = DEFAULT_GRID) {
    this.root = rootHash(salt, grid)
    this.grid = grid
  }

  get tokens(): Int32Array {
    return this.#tokens
  }

  /** How many of `tokens` count. */
  get length(): number {
    return this.#length
  }

  /** Full pieces. */
  get fullPieces(): number {
    return Math.floor(this.#length / this.grid)
  }

  /**
   * Sets or lengthens the tokens. The array is kept, not copied; it may be a larger one than before, as long as it
   * begins with the same tokens.
   * @throws RangeError when it would get shorter.
   */
  extend(tokens: Int32Array, length: number = tokens.length): this {
    if (length < this.#length || length > tokens.length) throw new RangeError('a chain only grows')
    this.#tokens = tokens
    this.#length = length
    return this
  }

  /** Hash of full piece `index`. @throws RangeError when the tokens do not reach its end. */
  hashAt(index: number): PieceHash {
    if (index < 0 || index >= this.fullPieces) throw new RangeError(`no full piece ${index}`)
    while (this.#hashes.length <= index) {
      const next = this.#hashes.length
      const tokens = this.#tokens.subarray(next * this.grid, (next + 1) * this.grid)
      this.#hashes.push(pieceHash(next === 0 ? this.root : this.#hashes[next - 1]!, tokens))
    }
    return this.#hashes[index]!
  }

  /** Hash of everything before `start`, a multiple of the grid: the parent of a piece that begins there. */
  parentAt(start: number): PieceHash {
    if (start % this.grid !== 0) throw new RangeError(`${start} is not on the grid`)
    return start === 0 ? this.root : this.hashAt(start / this.grid - 1)
  }

  /**
   * The piece [start, end), its tokens copied.
   * @throws RangeError when start is not on the grid, or the range is empty, longer than the grid or beyond the tokens.
   */
  piece(start: number, end: number): PieceMeta {
    if (end <= start || end - start > this.grid || end > this.#length) throw new RangeError('not a piece')
    const parent = this.parentAt(start)
    const tokens = this.#tokens.slice(start, end)
    const full = end - start === this.grid
    const hash = full ? this.hashAt(start / this.grid) : pieceHash(parent, tokens)
    return { root: this.root, parent, hash, start, tokens }
  }

  /** All pieces of [from, to): `from` is rounded down to the grid, the last one may be a tail. */
  pieces(from: number, to: number = this.#length): PieceMeta[] {
    const pieces: PieceMeta[] = []
    for (let at = from - (from % this.grid); at < to; at += this.grid) {
      pieces.push(this.piece(at, Math.min(at + this.grid, to)))
    }
    return pieces
  }
}
