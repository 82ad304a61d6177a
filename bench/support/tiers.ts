/** What Octavo tells about the tiers below its pool. Other servers do not: there the figures are null. */
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { type Endpoint, fetchText } from './client.js'

/** Tokens of a prompt that were not computed, by where they came from. */
export interface Source {
  resident: number
  ram: number
  disk: number
}

export interface TierFigures {
  /** Bytes written into the tier, and read back from it, since the server's start; `used` now. */
  ram: { used: number; spilled: number; restored: number }
  /** Null: nothing is written to disk. */
  disk: { used: number; spilled: number; restored: number; pieces: number } | null
  /** What was learnt, milliseconds: computing 256 tokens at depth 2000, and restoring a piece of `pieceBytes`. */
  costs: { compute: number; ram: number; disk: number }
}

/** Bytes of the piece that the costs are told for: about 256 tokens of the package's model at f16. */
export const pieceBytes = 2 ** 20
const pieceTokens = 256
const pieceDepth = 2000

/** Runs `use` with an empty folder for the disk tier, and removes it. */
export async function withCacheFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'octavo-bench-cache-'))
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Line {
  fixedMs: number | null
  bytesPerSecond: number | null
}

interface EngineFigures {
  tiers?: { ram?: TierFigures['ram']; disk?: Omit<NonNullable<TierFigures['disk']>, 'pieces'> }
  store?: {
    pieces: { disk: number }
    costs: {
      compute: { msPerToken: number | null; msPerTokenPerThousand: number | null }
      restore: { ram: Line; disk: Line }
    }
  }
}

export async function readTiers(server: Endpoint): Promise<TierFigures | null> {
  const reply = await fetchText(server, '/stats').catch(() => null)
  if (reply?.status !== 200) return null
  const { models = {} } = JSON.parse(reply.body) as { models?: Record<string, { engine?: EngineFigures }> }
  const { tiers, store } = Object.values(models)[0]?.engine ?? {}
  if (!tiers?.ram || !store) return null
  const { compute, restore } = store.costs
  return {
    ram: tiers.ram,
    disk: tiers.disk ? { ...tiers.disk, pieces: store.pieces.disk } : null,
    costs: {
      compute:
        compute.msPerToken === null
          ? Number.NaN
          : pieceTokens * (compute.msPerToken + ((compute.msPerTokenPerThousand ?? 0) * pieceDepth) / 1000),
      ram: pieceMs(restore.ram),
      disk: pieceMs(restore.disk)
    }
  }
}

function pieceMs({ fixedMs, bytesPerSecond }: Line): number {
  if (fixedMs === null) return Number.NaN
  return fixedMs + (bytesPerSecond === null ? 0 : (pieceBytes / bytesPerSecond) * 1000)
}
