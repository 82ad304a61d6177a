import { createHash, randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import path from 'node:path'
import type { PieceHash } from '../piece.js'

/**
 * The names of everything in a cache folder. Only what matches them is ever removed, whatever folder somebody may
 * have pointed the cache at.
 *
 *     <cache folder>/
 *       engines/<engine id>           bytes written today by one engine; `.closed` once it ended in order
 *       <model folder>/
 *         about.json                  what the model is called
 *         hits.json                   how often each piece was used
 *         <chain hash>.kv             one piece
 *         .<chain hash>.<engine id>.tmp   a piece being written
 */
export const ENGINES_FOLDER = 'engines'
export const ABOUT_FILE = 'about.json'
export const HITS_FILE = 'hits.json'
export const CLOSED = '.closed'

const PIECE = /^([0-9a-f]{40})\.kv$/
const TEMPORARY = /^\.[0-9a-f]{40}\.([0-9a-f]{8}-\d+-[0-9a-f]{8})\.tmp$/
const MODEL_FOLDER = /^model-[0-9a-f]{32}$/
const ENGINE = /^([0-9a-f]{8})-(\d+)-[0-9a-f]{8}(\.closed)?$/

const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)

export function modelFolder(fingerprint: string): string {
  return `model-${createHash('sha256').update(fingerprint).digest('hex').slice(0, 32)}`
}

export function isModelFolder(name: string): boolean {
  return MODEL_FOLDER.test(name)
}

export function pieceName(hash: PieceHash): string {
  return `${hash}.kv`
}

/** Whether this is written like a piece's hash. */
export function isPieceHash(text: string): boolean {
  return PIECE.test(pieceName(text))
}

/** The hash in a piece file's name; undefined for any other name. */
export function hashOfName(name: string): PieceHash | undefined {
  return PIECE.exec(name)?.[1]
}

/** Host, process and chance: two engines never have the same, not even after a restart. */
export function newEngineId(): string {
  return `${HOST}-${process.pid}-${randomBytes(4).toString('hex')}`
}

export function temporaryPath(folder: string, hash: PieceHash, engine: string): string {
  return path.join(folder, `.${hash}.${engine}.tmp`)
}

/** The engine that writes, or wrote, a temporary file; undefined for any other name. */
export function engineOfTemporary(name: string): string | undefined {
  return TEMPORARY.exec(name)?.[1]
}

export function isEngineName(name: string): boolean {
  return ENGINE.test(name)
}

/**
 * Whether an engine may still be at work. On another host (a shared folder, a container) only the age of its last
 * sign of life tells.
 */
export function mayBeAlive(engine: string, idleMs: number): boolean {
  const parts = ENGINE.exec(engine)
  if (!parts || parts[3]) return false
  if (parts[1] !== HOST) return idleMs < 10 * 60_000
  try {
    process.kill(Number(parts[2]), 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
