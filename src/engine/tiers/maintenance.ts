import fs from 'node:fs'
import path from 'node:path'
import { setImmediate as breathe } from 'node:timers/promises'
import { bytesOnDisk, Catalog } from './disk/catalog.js'
import { type FaultKind, faultKind, isDamage, messageOf } from './disk/faults.js'
import { DamageError, fingerprintDigest, headBytes } from './disk/format.js'
import { readHits } from './disk/hits.js'
import { ABOUT_FILE, hashOfName, isModelFolder, modelFolder } from './disk/names.js'
import { scanFile, verifyFile } from './disk/piece-file.js'
import { DEFAULT_GRID, rootHash } from './piece.js'

/** One model's folder in a cache folder. */
export interface FolderReport {
  folder: string
  /** Name and fingerprint of the model, where its description is there. */
  model: string | null
  fingerprint: string | null
  pieces: number
  /** Bytes on disk, rounded up to 4 KiB per file. */
  bytes: number
  /** How often pieces that are there were used, as servers that ended in order have told. */
  hits: number
  /** Last use of any and of the least recently used piece, milliseconds since 1970; null for an empty folder. */
  newestUseMs: number | null
  oldestUseMs: number | null
  /** Files that are being written, or were left behind. */
  temporary: number
}

export interface Progress {
  files: number
  totalFiles: number
  bytes: number
  totalBytes: number
}

export interface VerifyReport {
  files: number
  bytes: number
  /** Files that would not be used, and why; removed when asked. */
  damaged: Array<{ path: string; kind: FaultKind; message: string }>
}

export interface RemovalReport {
  files: number
  bytes: number
}

interface PieceFile {
  folder: string
  name: string
  bytes: number
  usedMs: number
}

/** All models' folders. An absent cache folder is an empty one. These functions may run beside engines. */
export function listStore(cacheFolder: string): FolderReport[] {
  return modelFolders(cacheFolder).map(folder => {
    const files = pieceFiles(folder)
    const uses = files.map(file => file.usedMs)
    const hits = readHits(folder)
    return {
      folder,
      ...readAbout(folder),
      pieces: files.length,
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
      hits: files.reduce((sum, file) => sum + (hits.get(hashOfName(file.name) ?? '') ?? 0), 0),
      newestUseMs: uses.length > 0 ? uses.reduce((a, b) => Math.max(a, b)) : null,
      oldestUseMs: uses.length > 0 ? uses.reduce((a, b) => Math.min(a, b)) : null,
      temporary: namesIn(folder).filter(name => name.endsWith('.tmp')).length
    }
  })
}

/** Reads every file whole and checks it. */
export async function verifyStore(
  cacheFolder: string,
  options: { remove?: boolean; onProgress?: (progress: Progress) => void } = {}
): Promise<VerifyReport> {
  const all = modelFolders(cacheFolder).flatMap(folder => pieceFiles(folder))
  const totalBytes = all.reduce((sum, file) => sum + file.bytes, 0)
  const report: VerifyReport = { files: 0, bytes: 0, damaged: [] }
  const fingerprints = new Map<string, Buffer | null>()
  for (const file of all) {
    if (!fingerprints.has(file.folder)) fingerprints.set(file.folder, fingerprintOf(file.folder))
    verifyOne(file, fingerprints.get(file.folder)!, options.remove ?? false, report)
    report.files++
    report.bytes += file.bytes
    options.onProgress?.({
      files: report.files,
      totalFiles: all.length,
      bytes: report.bytes,
      totalBytes
    })
    await breathe()
  }
  return report
}

function verifyOne(file: PieceFile, fingerprint: Buffer | null, remove: boolean, report: VerifyReport): void {
  const at = path.join(file.folder, file.name)
  try {
    const header = verifyFile(at, fingerprint)
    if (header.hash !== hashOfName(file.name)) throw new DamageError('malformed', 'lies under another name')
  } catch (error) {
    const kind = error instanceof DamageError ? error.kind : faultKind(error)
    if (kind === 'vanished') return
    report.damaged.push({ path: at, kind, message: messageOf(error) })
    if (remove && isDamage(kind)) fs.rmSync(at, { force: true })
  }
}

/** Removes the least recently used pieces of all models until at most `bytes` are left; anchors stay longest. */
export async function trimStore(cacheFolder: string, bytes: number): Promise<RemovalReport> {
  const catalog = new Catalog()
  const scratch = Buffer.alloc(headBytes(DEFAULT_GRID))
  for (const folder of modelFolders(cacheFolder)) {
    for (const file of pieceFiles(folder)) catalog.set({ ...file, piece: pieceOf(file, scratch) })
    await breathe()
  }
  return remove(catalog.victims(catalog.totalBytes - bytes))
}

/** What the catalog needs to know of a piece; undefined for a file that cannot be read: then its age counts. */
function pieceOf(file: PieceFile, scratch: Buffer) {
  try {
    const { hash, parent, start, anchor } = scanFile(path.join(file.folder, file.name), null, scratch).header
    // Chains of different models are different chains.
    const of = (each: string) => `${file.folder} ${each}`
    return { hash: of(hash), parent: of(parent), start, anchor }
  } catch {
    return undefined
  }
}

/** Removes all pieces, or those of one folder (as listed), or of one salt. */
export async function clearStore(
  cacheFolder: string,
  options: { folder?: string; salt?: string; grid?: number } = {}
): Promise<RemovalReport> {
  const folders = modelFolders(cacheFolder).filter(
    folder => options.folder === undefined || folder === path.resolve(options.folder)
  )
  const root = options.salt === undefined ? undefined : rootHash(options.salt, options.grid)
  const scratch = Buffer.alloc(headBytes(DEFAULT_GRID))
  const doomed: PieceFile[] = []
  for (const folder of folders) {
    for (const file of pieceFiles(folder)) {
      if (root === undefined || rootOf(file, scratch) === root) doomed.push(file)
    }
    await breathe()
  }
  return remove(doomed)
}

function rootOf(file: PieceFile, scratch: Buffer): string | undefined {
  try {
    return scanFile(path.join(file.folder, file.name), null, scratch).header.root
  } catch {
    return undefined
  }
}

function remove(files: PieceFile[]): RemovalReport {
  const report = { files: 0, bytes: 0 }
  for (const file of files) {
    try {
      fs.unlinkSync(path.join(file.folder, file.name))
    } catch (error) {
      if (faultKind(error) !== 'vanished') throw error
    }
    report.files++
    report.bytes += file.bytes
  }
  return report
}

function modelFolders(cacheFolder: string): string[] {
  return namesIn(cacheFolder)
    .filter(isModelFolder)
    .map(name => path.join(path.resolve(cacheFolder), name))
}

function pieceFiles(folder: string): PieceFile[] {
  const files: PieceFile[] = []
  for (const name of namesIn(folder)) {
    if (!hashOfName(name)) continue
    const stat = fs.lstatSync(path.join(folder, name), { throwIfNoEntry: false })
    if (stat?.isFile()) files.push({ folder, name, bytes: bytesOnDisk(stat.size), usedMs: stat.mtimeMs })
  }
  return files
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder)
  } catch (error) {
    if (faultKind(error) === 'vanished') return []
    throw error
  }
}

function readAbout(folder: string): { model: string | null; fingerprint: string | null } {
  try {
    const about: unknown = JSON.parse(fs.readFileSync(path.join(folder, ABOUT_FILE), 'utf8'))
    const { model, fingerprint } = about as { model?: unknown; fingerprint?: unknown }
    return {
      model: typeof model === 'string' ? model : null,
      fingerprint: typeof fingerprint === 'string' ? fingerprint : null
    }
  } catch {
    return { model: null, fingerprint: null }
  }
}

function fingerprintOf(folder: string): Buffer | null {
  const { fingerprint } = readAbout(folder)
  // A description that was changed by hand must not condemn the folder's files.
  const fits = fingerprint !== null && modelFolder(fingerprint) === path.basename(folder)
  return fits ? fingerprintDigest(fingerprint) : null
}
