import fs from 'node:fs'
import path from 'node:path'
import type { PieceHash } from '../piece.js'
import { HITS_FILE, isPieceHash, temporaryPath } from './names.js'

/** Pieces that are counted at once: more than a folder holds, in a few megabytes. */
const MOST_PIECES = 65_536
/** Larger counts are damage. */
const MOST = Number.MAX_SAFE_INTEGER / 2

/** How often each piece of a model folder was used, as it was last written down. Damage, or no file: nothing is known. */
export function readHits(folder: string): Map<PieceHash, number> {
  const hits = new Map<PieceHash, number>()
  try {
    const text: unknown = JSON.parse(fs.readFileSync(path.join(folder, HITS_FILE), 'utf8'))
    for (const [hash, count] of Object.entries(text as Record<string, unknown>)) {
      if (isPieceHash(hash) && Number.isSafeInteger(count) && (count as number) > 0) {
        hits.set(hash, Math.min(count as number, MOST))
      }
    }
  } catch {
    // Only a listing knows less.
  }
  return hits
}

/**
 * Counts uses in memory and adds them to the folder's file when the engine ends in order. It is for people to look at,
 * nothing is decided by it: what a crash loses, or two engines that end in the same moment, is lost.
 */
export class HitCounts {
  readonly #counts = new Map<PieceHash, number>()

  add(hash: PieceHash, count: number): void {
    if (this.#counts.size >= MOST_PIECES && !this.#counts.has(hash)) return
    this.#counts.set(hash, (this.#counts.get(hash) ?? 0) + count)
  }

  /** @param isThere whether a piece is still in the folder: what is not is forgotten. */
  save(folder: string, engine: string, isThere: (hash: PieceHash) => boolean): void {
    if (this.#counts.size === 0) return
    const all = readHits(folder)
    for (const [hash, count] of this.#counts) all.set(hash, (all.get(hash) ?? 0) + count)
    this.#counts.clear()
    for (const hash of all.keys()) if (!isThere(hash)) all.delete(hash)
    // Named like a piece that is being written: what is left of it is cleaned up like one.
    const temporary = temporaryPath(folder, '0'.repeat(40), engine)
    try {
      fs.writeFileSync(temporary, `${JSON.stringify(Object.fromEntries(all))}\n`, { mode: 0o600 })
      fs.renameSync(temporary, path.join(folder, HITS_FILE))
    } catch {
      fs.rmSync(temporary, { force: true })
    }
  }
}
