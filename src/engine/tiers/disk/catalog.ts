import type { PieceHash } from '../piece.js'

/** A file in a cache folder, of this model or another. */
export interface StoredFile {
  folder: string
  name: string
  /** On the disk, rounded up to 4 KiB. */
  bytes: number
  usedMs: number
  /** Pieces of this model only; files of others are judged by their age. */
  piece?: { hash: PieceHash; parent: PieceHash; start: number; anchor: boolean }
  /** A file that is never evicted: a piece being written by somebody, the description of a model. */
  fixed?: boolean
}

/** An anchor counts as used this much later than it was. */
export const ANCHOR_BONUS_MS = 7 * 24 * 3600_000

const ROUND = 4096

/** Bytes that a file takes on the disk. */
export function bytesOnDisk(size: number): number {
  return Math.ceil(size / ROUND) * ROUND
}

/** What lies in the cache folder, and what has to go when there is too much. No I/O. */
export class Catalog {
  readonly #folders = new Map<string, Map<string, StoredFile>>()
  readonly #bytes = new Map<string, number>()
  readonly #byHash = new Map<PieceHash, StoredFile>()
  #total = 0

  get totalBytes(): number {
    return this.#total
  }

  bytesOf(folder: string): number {
    return this.#bytes.get(folder) ?? 0
  }

  get folders(): Iterable<string> {
    return this.#folders.keys()
  }

  filesOf(folder: string): Iterable<StoredFile> {
    return this.#folders.get(folder)?.values() ?? []
  }

  get(folder: string, name: string): StoredFile | undefined {
    return this.#folders.get(folder)?.get(name)
  }

  byHash(hash: PieceHash): StoredFile | undefined {
    return this.#byHash.get(hash)
  }

  set(file: StoredFile): void {
    const old = this.get(file.folder, file.name)
    if (old) this.delete(old)
    let files = this.#folders.get(file.folder)
    if (!files) {
      files = new Map()
      this.#folders.set(file.folder, files)
    }
    files.set(file.name, file)
    if (file.piece) this.#byHash.set(file.piece.hash, file)
    this.#count(file.folder, file.bytes)
  }

  delete(file: StoredFile): void {
    const files = this.#folders.get(file.folder)
    if (files?.get(file.name) !== file) return
    files.delete(file.name)
    if (files.size === 0) this.#folders.delete(file.folder)
    if (file.piece) this.#byHash.delete(file.piece.hash)
    this.#count(file.folder, -file.bytes)
  }

  #count(folder: string, bytes: number): void {
    this.#total += bytes
    this.#bytes.set(folder, this.bytesOf(folder) + bytes)
  }

  /**
   * Files to remove so that at least `need` bytes become free; fewer when no more can go. Least recently used first;
   * an anchor counts as younger, a piece as young as the youngest that hangs on it, and of equals the deepest goes
   * first: so nothing loses what it hangs on.
   * @param parent of the piece that needs the room: neither it nor its ancestors go.
   */
  victims(need: number, parent?: PieceHash): StoredFile[] {
    if (need <= 0) return []
    const keys = this.#keys()
    for (let at = parent ? this.#byHash.get(parent) : undefined; at; at = this.#parentOf(at)) keys.delete(at)
    const order = [...keys].sort(
      ([a, keyA], [b, keyB]) => keyA - keyB || (b.piece?.start ?? 0) - (a.piece?.start ?? 0)
    )
    const victims: StoredFile[] = []
    let freed = 0
    for (const [file] of order) {
      if (freed >= need) break
      victims.push(file)
      freed += file.bytes
    }
    return victims
  }

  #parentOf(file: StoredFile): StoredFile | undefined {
    return file.piece && this.#byHash.get(file.piece.parent)
  }

  /** When each file that may go was used, as it counts. */
  #keys(): Map<StoredFile, number> {
    const keys = new Map<StoredFile, number>()
    const deepestFirst: StoredFile[] = []
    for (const files of this.#folders.values()) {
      for (const file of files.values()) {
        if (file.fixed) continue
        keys.set(file, file.usedMs + (file.piece?.anchor ? ANCHOR_BONUS_MS : 0))
        if (file.piece) deepestFirst.push(file)
      }
    }
    deepestFirst.sort((a, b) => b.piece!.start - a.piece!.start)
    for (const file of deepestFirst) {
      const parent = this.#parentOf(file)
      if (parent) keys.set(parent, Math.max(keys.get(parent) ?? 0, keys.get(file)!))
    }
    return keys
  }
}
