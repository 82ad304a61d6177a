import type { Capabilities, ModelInfo } from '../engine/backend.js'
import type { EngineStats, TierConfig } from '../engine/messages.js'
import { grouped, plural, size } from './units.js'

export interface Ready {
  version: string
  /** Base address, e.g. `http://127.0.0.1:8080`. */
  address: string
  name: string
  info: ModelInfo
  capabilities: Capabilities
  blockSize: number
  parallel: number
  threads: number
  /** What the engine was told about the tiers below the pool, and what it found there. */
  tiers: TierConfig | undefined
  stats: EngineStats | null
  /** Whether clients must send a key. */
  keyed: boolean
}

/** What a person sees when the server is ready. */
export function banner(ready: Ready): string {
  const { address, info, capabilities } = ready
  const { cells, cellsPerSequence, bytesPerCell, sequenceIds } = capabilities
  const blocks = Math.floor(cells / ready.blockSize)
  const { ram, disk } = tierLines(ready)
  const key = ready.keyed ? " -H 'authorization: Bearer YOUR_KEY'" : ''
  return `
  Octavo ${ready.version} is ready at ${address}

  model      ${ready.name} (${info.architecture}, ${parameters(info.parameters)} parameters, ${size(info.bytes)})
  device     ${info.device}, ${plural(ready.threads, 'CPU thread')}
  pool       ${grouped(blocks)} blocks of ${ready.blockSize} = ${grouped(cells)} tokens, ${size(cells * bytesPerCell)}, ${sequenceIds} sequence ids
  cache      ${ram}
             ${disk}
  requests   ${plural(ready.parallel, 'stream')} at once, up to ${grouped(cellsPerSequence)} tokens each
  endpoints  POST ${address}/v1/chat/completions
             GET  ${address}/v1/models
             GET  ${address}/health

  Try it:
  curl ${address}/v1/chat/completions${key} -H 'content-type: application/json' \\
    -d '{"messages":[{"role":"user","content":"Hello!"}]}'

  For the OpenAI SDK: base URL ${address}/v1
`
}

/** The same for a program that reads the log. */
export function readyRecord(ready: Ready): Record<string, unknown> {
  const { info, capabilities, tiers, stats, ...rest } = ready
  const { cells, cellsPerSequence, bytesPerCell, sequenceIds } = capabilities
  const { path, architecture, device, libraryVersion } = info
  return {
    ...rest,
    file: path,
    architecture,
    device,
    libraryVersion,
    pool: { cells, cellsPerSequence, bytes: cells * bytesPerCell, sequenceIds },
    cache: stats?.tiers ? cacheRecord(tiers, stats) : null
  }
}

/** Prefixes outside of the pool: caps, and what an earlier run has left. */
function tierLines({ tiers, stats }: Ready): { ram: string; disk: string } {
  if (!tiers || !stats?.tiers) {
    return { ram: 'prefixes stay in the pool only', disk: 'disk: off' }
  }
  const { ram, disk } = cacheRecord(tiers, stats)
  return {
    ram: `RAM up to ${size(ram)}`,
    disk:
      disk === null
        ? 'disk: off'
        : `disk up to ${size(disk.cap)} in ${disk.folder}: ${plural(disk.pieces, 'piece')} found (${size(disk.used)})`
  }
}

function cacheRecord(tiers: TierConfig | undefined, { store }: EngineStats) {
  const disk = tiers?.disk
  return {
    ram: tiers?.ramBytes ?? 0,
    disk:
      disk && store?.disk
        ? {
            folder: disk.folder,
            cap: disk.capBytes,
            writeBudget: disk.dailyWriteBytes,
            pieces: store.pieces.disk,
            used: store.disk.modelBytes
          }
        : null
  }
}

function parameters(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)}B` : `${Math.round(count / 1e6)}M`
}
