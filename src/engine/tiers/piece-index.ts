import { commonLength, isProperPrefix, type PieceHash, type PieceMeta } from './piece.js'

/** Pieces by their hash and by their parent. Both tiers keep one; it knows nothing of bytes. */
export class PieceIndex<T extends PieceMeta & { readonly anchor: boolean }> {
  readonly #byHash = new Map<PieceHash, T>()
  readonly #byParent = new Map<PieceHash, Set<T>>()

  get size(): number {
    return this.#byHash.size
  }

  get(hash: PieceHash): T | undefined {
    return this.#byHash.get(hash)
  }

  values(): IterableIterator<T> {
    return this.#byHash.values()
  }

  children(parent: PieceHash): Iterable<T> {
    return this.#byParent.get(parent) ?? []
  }

  /** An entry with this hash that is there already is replaced. */
  add(entry: T): void {
    const old = this.#byHash.get(entry.hash)
    if (old) this.remove(old)
    this.#byHash.set(entry.hash, entry)
    const siblings = this.#byParent.get(entry.parent)
    if (siblings) siblings.add(entry)
    else this.#byParent.set(entry.parent, new Set([entry]))
  }

  remove(entry: T): void {
    if (this.#byHash.get(entry.hash) !== entry) return
    this.#byHash.delete(entry.hash)
    const siblings = this.#byParent.get(entry.parent)
    siblings?.delete(entry)
    if (siblings?.size === 0) this.#byParent.delete(entry.parent)
  }

  clear(): void {
    this.#byHash.clear()
    this.#byParent.clear()
  }

  /** The entry's parent, that one's parent, ... as far as they are here, nearest first. */
  *ancestors(entry: PieceMeta): IterableIterator<T> {
    for (let at = this.#byHash.get(entry.parent); at; at = this.#byHash.get(at.parent)) yield at
  }

  /** Entries after the same parent whose tokens are a beginning of this piece's: it makes them superfluous. */
  superseded(piece: PieceMeta): T[] {
    const found: T[] = []
    for (const other of this.children(piece.parent)) {
      if (isProperPrefix(other.tokens, piece.tokens)) found.push(other)
    }
    return found
  }

  /**
   * The same for pieces that are used whole: the longest of the beginnings stays, since the same prompt may be asked
   * again, and a template may write an answer differently once it is history. So do places that many come back to.
   */
  supersededWhole(piece: PieceMeta): T[] {
    const shorter = this.superseded(piece).sort((a, b) => b.tokens.length - a.tokens.length)
    return shorter.slice(1).filter(({ anchor }) => !anchor)
  }

  /** An entry whose tokens begin with this piece's and go on: it makes the piece superfluous. */
  covering(piece: PieceMeta): T | undefined {
    for (const other of this.children(piece.parent)) {
      if (isProperPrefix(piece.tokens, other.tokens)) return other
    }
    return undefined
  }

  /**
   * The child of `parent` that has most tokens in common with the prompt from `start` on.
   * @param whole only children that lie in the prompt with all their tokens.
   */
  bestChild(
    parent: PieceHash,
    prompt: Int32Array,
    start: number,
    end: number,
    whole: boolean
  ): { entry: T; common: number } | undefined {
    let best: { entry: T; common: number } | undefined
    for (const entry of this.children(parent)) {
      if (entry.start !== start) continue
      const common = commonLength(entry.tokens, prompt, start, end)
      if (whole && common < entry.tokens.length) continue
      if (common > (best?.common ?? 0)) best = { entry, common }
    }
    return best
  }
}
