import nodeFs from 'node:fs'
import path from 'node:path'
import type { PieceHash, PieceMeta } from '../piece.js'
import { bytesOnDisk, Catalog, type StoredFile } from './catalog.js'
import { type FaultKind, faultKind, messageOf } from './faults.js'
import { DamageError, headBytes } from './format.js'
import { engineOfTemporary, hashOfName, isModelFolder, mayBeAlive, pieceName } from './names.js'
import { type FileSystem, scanFile } from './piece-file.js'
import type { FoundPiece, FromWorker } from './protocol.js'

/** A header with the tokens of a usual grid, in one read. */
const SCAN_BYTES = headBytes(256)
const FOUND_BATCH = 500
/** A temporary file of a writer that cannot be asked is left alone this long. */
const TEMPORARY_MS = 3600_000
/** A folder's time stamp is coarse: one as fresh as this may hide a later change. */
const RACY_MS = 50

export type Why = Extract<FromWorker, { type: 'gone' }>['why']

export interface InventoryOptions {
  /** Of all models. */
  cacheFolder: string
  /** Of this one. */
  folder: string
  /** Digest, as in the headers. */
  fingerprint: Buffer
  engine: string
  tell: (message: FromWorker) => void
  fs: FileSystem
  now: () => number
}

/** The catalog, kept in step with the folders: what appears, what vanishes, what is removed. */
export class Inventory {
  readonly catalog = new Catalog()
  readonly #options: InventoryOptions
  /** Modification time of each folder when it was last looked through. */
  readonly #seen = new Map<string, number>()
  readonly #scratch = Buffer.alloc(SCAN_BYTES)
  #found: FoundPiece[] = []
  #largest = 0

  constructor(options: InventoryOptions) {
    this.#options = options
  }

  /** Bytes on disk of the largest file of this model so far. */
  get largest(): number {
    return this.#largest
  }

  /**
   * Brings the catalog up to date. Cheap when nothing changed: one stat per model folder.
   * @param thorough look into every folder, whatever its time stamp says.
   */
  lookThrough(thorough: boolean): void {
    const folders = new Set(this.catalog.folders)
    for (const name of this.#modelFolders()) {
      const folder = path.join(this.#options.cacheFolder, name)
      folders.delete(folder)
      if (thorough || this.#seen.get(folder) !== modifiedMs(folder)) this.#lookThroughFolder(folder)
    }
    for (const folder of folders) this.forgetFolder(folder)
    this.#flushFound()
  }

  /** After a change of our own that followed a look through: it is nothing new. */
  markSeen(folder: string): void {
    this.#seen.set(folder, modifiedMs(folder) ?? -1)
  }

  forgetFolder(folder: string): void {
    const lost = [...this.catalog.filesOf(folder)]
    for (const file of lost) this.catalog.delete(file)
    this.#seen.delete(folder)
    this.#gone(lost, 'vanished')
  }

  /** Takes a piece of this model into the catalog that was just written, or found. */
  remember(meta: PieceMeta, anchor: boolean, size: number, usedMs: number): void {
    const { hash, parent, start } = meta
    const bytes = bytesOnDisk(size)
    this.#largest = Math.max(this.#largest, bytes)
    const { folder } = this.#options
    this.catalog.set({ folder, name: pieceName(hash), bytes, usedMs, piece: { hash, parent, start, anchor } })
  }

  /** Whether this piece has a file: known from before, or written meanwhile by another engine. */
  isThere(hash: PieceHash): boolean {
    if (this.catalog.byHash(hash)) return true
    if (!nodeFs.existsSync(path.join(this.#options.folder, pieceName(hash)))) return false
    const good = this.#admitPiece(pieceName(hash), hash)
    this.#flushFound()
    return good
  }

  removeHashes(hashes: PieceHash[], why: Why): void {
    const files = hashes.map(hash => this.catalog.byHash(hash)).filter(file => file !== undefined)
    this.removeFiles(files, why)
  }

  removeFiles(files: StoredFile[], why: Why): void {
    for (const file of files) {
      if (!this.#unlink(path.join(file.folder, file.name))) continue
      this.catalog.delete(file)
      this.markSeen(file.folder)
    }
    this.#gone(files, why)
  }

  /** Takes a file that is not there any more out of the catalog. */
  forget(hash: PieceHash): void {
    const file = this.catalog.byHash(hash)
    if (file) this.catalog.delete(file)
    this.#options.tell({ type: 'gone', hashes: [hash], why: 'vanished' })
  }

  /** Hashes of the pieces in other models' folders. */
  foreign(): PieceHash[] {
    const hashes: PieceHash[] = []
    for (const folder of this.catalog.folders) {
      if (folder === this.#options.folder) continue
      for (const { name } of this.catalog.filesOf(folder)) {
        const hash = hashOfName(name)
        if (hash) hashes.push(hash)
      }
    }
    return hashes
  }

  /** Reports what the system, or a file, did. Returns its kind. */
  fault(error: unknown, file: string): FaultKind {
    const kind = error instanceof DamageError ? error.kind : faultKind(error)
    this.#options.tell({ type: 'fault', fault: { kind, path: file, message: messageOf(error) } })
    return kind
  }

  #modelFolders(): string[] {
    try {
      return nodeFs.readdirSync(this.#options.cacheFolder).filter(isModelFolder)
    } catch {
      return []
    }
  }

  #lookThroughFolder(folder: string): void {
    const modified = modifiedMs(folder) ?? -1
    let names: string[]
    try {
      names = nodeFs.readdirSync(folder)
    } catch (error) {
      if (faultKind(error) === 'vanished') this.forgetFolder(folder)
      else this.fault(error, folder)
      return
    }
    const present = new Set(names)
    const lost = [...this.catalog.filesOf(folder)].filter(file => !present.has(file.name))
    for (const file of lost) this.catalog.delete(file)
    this.#gone(lost, 'vanished')
    for (const name of names) this.#admit(folder, name)
    if (this.#options.now() - modified > RACY_MS) this.#seen.set(folder, modified)
    else this.#seen.delete(folder)
  }

  /** Takes a file into the catalog if it is any good. Immutable ones that are known stay as they are. */
  #admit(folder: string, name: string): void {
    const known = this.catalog.get(folder, name)
    if (known && !known.fixed) return
    const hash = hashOfName(name)
    if (hash && folder === this.#options.folder) this.#admitPiece(name, hash)
    else this.#admitOther(folder, name, hash === undefined)
  }

  #admitOther(folder: string, name: string, fixed: boolean): void {
    const file = path.join(folder, name)
    try {
      const stat = nodeFs.lstatSync(file)
      if (!stat.isFile()) return
      const writer = engineOfTemporary(name)
      if (writer && this.#isStale(writer, this.#options.now() - stat.mtimeMs)) this.#unlink(file)
      else this.catalog.set({ folder, name, bytes: bytesOnDisk(stat.size), usedMs: stat.mtimeMs, fixed })
    } catch (error) {
      if (faultKind(error) !== 'vanished') this.fault(error, file)
    }
  }

  #isStale(writer: string, ageMs: number): boolean {
    return writer === this.#options.engine || ageMs > TEMPORARY_MS || !mayBeAlive(writer, ageMs)
  }

  #admitPiece(name: string, hash: PieceHash): boolean {
    const { folder, fingerprint, fs } = this.#options
    const file = path.join(folder, name)
    try {
      const { header, usedMs, fileBytes } = scanFile(file, fingerprint, this.#scratch, fs)
      if (header.hash !== hash) throw new DamageError('malformed', 'lies under another name')
      this.remember(header, header.anchor, fileBytes, usedMs)
      const { createdMs: _, ...piece } = header
      this.#found.push(piece)
      if (this.#found.length >= FOUND_BATCH) this.#flushFound()
      return true
    } catch (error) {
      this.fault(error, file)
      if (error instanceof DamageError) this.#unlink(file)
      return false
    }
  }

  #flushFound(): void {
    if (this.#found.length > 0) this.#options.tell({ type: 'found', pieces: this.#found })
    this.#found = []
  }

  #unlink(file: string): boolean {
    try {
      this.#options.fs.unlinkSync(file)
      return true
    } catch (error) {
      if (faultKind(error) === 'vanished') return true
      this.fault(error, file)
      return false
    }
  }

  #gone(files: StoredFile[], why: Why): void {
    const hashes = files.map(file => file.piece?.hash).filter(hash => hash !== undefined)
    if (hashes.length > 0) this.#options.tell({ type: 'gone', hashes, why })
  }
}

function modifiedMs(folder: string): number | undefined {
  try {
    return nodeFs.statSync(folder).mtimeMs
  } catch {
    return undefined
  }
}
