import nodeFs from 'node:fs'
import path from 'node:path'
import type { Segment } from '../arena.js'
import type { PieceHash, PieceMeta } from '../piece.js'
import { touchPages } from '../touch-pages.js'
import { bytesOnDisk } from './catalog.js'
import { faultKind, isDamage } from './faults.js'
import { fileBytes, fingerprintDigest } from './format.js'
import { HitCounts } from './hits.js'
import { Inventory } from './inventory.js'
import { Ledger } from './ledger.js'
import { ABOUT_FILE, modelFolder, pieceName, temporaryPath } from './names.js'
import { type FileSystem, readFile, writeFile } from './piece-file.js'
import type {
  CoreOptions,
  FolderState,
  FromWorker,
  ReadOutcome,
  ToWorker,
  WriteOrder,
  WriteOutcome
} from './protocol.js'

/** When room must be made, make this much more: choosing victims sorts all files. */
const SLACK = 0.01

/**
 * All the file work of the disk tier, synchronous: it runs in a worker thread. Several engines may use one folder:
 * files are immutable, appear under their name complete, and may vanish at any time.
 */
export class DiskCore {
  readonly #tell: (message: FromWorker) => void
  readonly #fs: FileSystem
  readonly #now: () => number
  #options!: CoreOptions
  readonly #hits = new HitCounts()
  #fingerprint!: Buffer
  #folder!: string
  #ledger!: Ledger
  #inventory!: Inventory

  constructor(
    tell: (message: FromWorker) => void,
    seams: { fs?: FileSystem | undefined; now?: (() => number) | undefined } = {}
  ) {
    this.#tell = tell
    this.#fs = seams.fs ?? nodeFs
    this.#now = seams.now ?? Date.now
  }

  /** Does what a message asks. What the system refuses is answered, not thrown. */
  handle(message: ToWorker): void {
    switch (message.type) {
      case 'open':
        this.#open(message.options)
        break
      case 'write': {
        const result = this.#guardedWrite(message)
        this.#tell({ type: 'wrote', id: message.id, ...result, state: this.#state() })
        break
      }
      case 'read':
        this.#tell({ type: 'read', id: message.id, outcome: this.#read(message.meta, message.segments) })
        break
      case 'touch':
        this.#touch(message.hits)
        break
      case 'remove':
        this.#inventory.removeHashes(message.hashes, 'removed')
        break
      case 'warm':
        touchPages(message.slab)
        this.#tell({ type: 'done', id: message.id })
        break
      case 'sync':
        this.#tell({ type: 'done', id: message.id })
        break
      case 'close':
        this.#ledger.close()
        this.#hits.save(this.#folder, this.#options.engine, hash => this.#inventory.isThere(hash))
        this.#tell({ type: 'done', id: message.id })
        break
    }
  }

  #open(options: CoreOptions): void {
    const began = performance.now()
    this.#options = options
    this.#fingerprint = fingerprintDigest(options.fingerprint)
    this.#folder = path.join(options.folder, modelFolder(options.fingerprint))
    this.#ledger = new Ledger(options.folder, options.engine, this.#now)
    this.#inventory = new Inventory({
      cacheFolder: options.folder,
      folder: this.#folder,
      fingerprint: this.#fingerprint,
      engine: options.engine,
      tell: this.#tell,
      fs: this.#fs,
      now: this.#now
    })
    this.#makeFolder()
    this.#ledger.open()
    this.#inventory.lookThrough(true)
    this.#evict(this.#inventory.catalog.totalBytes - this.#cap())
    const ms = performance.now() - began
    this.#tell({ type: 'ready', state: this.#state(), foreign: this.#inventory.foreign(), ms })
  }

  #state(): FolderState {
    const { catalog } = this.#inventory
    return {
      totalBytes: catalog.totalBytes,
      modelBytes: catalog.bytesOf(this.#folder),
      writtenToday: this.#ledger.writtenToday
    }
  }

  /** Every other engine may be writing one file that we do not know of yet. */
  #cap(): number {
    return this.#options.capBytes - this.#ledger.othersAlive * this.#inventory.largest
  }

  #makeFolder(): void {
    try {
      nodeFs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
      const about = path.join(this.#folder, ABOUT_FILE)
      if (nodeFs.existsSync(about)) return
      const { label, fingerprint } = this.#options
      nodeFs.writeFileSync(about, `${JSON.stringify({ model: label, fingerprint })}\n`, { mode: 0o600 })
    } catch (error) {
      this.#inventory.fault(error, this.#folder)
    }
  }

  #read(meta: PieceMeta, segments: Segment[]): ReadOutcome {
    const file = path.join(this.#folder, pieceName(meta.hash))
    const usedMs = this.#now()
    try {
      const outcome = readFile(file, { meta, segments, usedMs }, this.#fingerprint, this.#fs)
      const stored = this.#inventory.catalog.byHash(meta.hash)
      if (stored) stored.usedMs = usedMs
      return outcome
    } catch (error) {
      const kind = this.#inventory.fault(error, file)
      if (isDamage(kind)) this.#inventory.removeHashes([meta.hash], 'damaged')
      else if (kind === 'vanished') this.#inventory.forget(meta.hash)
      return kind
    }
  }

  #touch(hits: Array<[PieceHash, number]>): void {
    const now = this.#now()
    for (const [hash, count] of hits) {
      // Some are written later, at drain.
      this.#hits.add(hash, count)
      const file = this.#inventory.catalog.byHash(hash)
      if (!file) continue
      file.usedMs = now
      try {
        nodeFs.utimesSync(path.join(file.folder, file.name), now / 1000, now / 1000)
      } catch {
        // Only the order of eviction after a restart suffers.
      }
    }
  }

  #guardedWrite(order: WriteOrder): { outcome: WriteOutcome; bytes: number } {
    try {
      const outcome = this.#write(order)
      return { outcome, bytes: outcome === 'written' ? sizeOf(order) : 0 }
    } catch (error) {
      return { outcome: this.#inventory.fault(error, this.#folder), bytes: 0 }
    }
  }

  #write(order: WriteOrder): WriteOutcome {
    const size = sizeOf(order)
    const bytes = bytesOnDisk(size)
    this.#ledger.refresh()
    this.#inventory.lookThrough(this.#ledger.othersAlive > 0)
    if (this.#inventory.isThere(order.meta.hash)) return 'known'
    if (bytes > this.#cap()) return 'too_large'
    const { dailyWriteBytes } = this.#options
    if (dailyWriteBytes !== null && this.#ledger.writtenToday + size > dailyWriteBytes) return 'budget'
    if (!this.#makeRoom(bytes, order)) return 'no_room'
    this.#ledger.add(size)
    this.#put(order)
    this.#inventory.remember(order.meta, order.anchor, size, this.#now())
    this.#inventory.markSeen(this.#folder)
    this.#inventory.removeHashes(order.supersedes, 'superseded')
    return 'written'
  }

  #makeRoom(bytes: number, order: WriteOrder): boolean {
    const over = () => this.#inventory.catalog.totalBytes + bytes - this.#cap()
    if (over() > 0) this.#inventory.removeHashes(order.supersedes, 'superseded')
    if (over() > 0) this.#evict(over() + this.#options.capBytes * SLACK, order.meta.parent)
    return over() <= 0
  }

  #evict(need: number, parent?: PieceHash): void {
    this.#inventory.removeFiles(this.#inventory.catalog.victims(need, parent), 'evicted')
  }

  #put(order: WriteOrder): void {
    const { meta, anchor, segments, bytes } = order
    const paths = {
      temporary: temporaryPath(this.#folder, meta.hash, this.#options.engine),
      final: path.join(this.#folder, pieceName(meta.hash))
    }
    const header = { ...meta, anchor, blobBytes: bytes, createdMs: this.#now() }
    try {
      writeFile(paths, header, segments, this.#fingerprint, this.#fs)
    } catch (error) {
      if (faultKind(error) !== 'vanished') throw error
      // Somebody removed the folder: begin a new one.
      this.#inventory.fault(error, this.#folder)
      this.#inventory.forgetFolder(this.#folder)
      this.#makeFolder()
      this.#ledger.open()
      this.#inventory.lookThrough(true)
      writeFile(paths, header, segments, this.#fingerprint, this.#fs)
    }
  }
}

function sizeOf(order: WriteOrder): number {
  return fileBytes(order.meta.tokens.length, order.bytes)
}
