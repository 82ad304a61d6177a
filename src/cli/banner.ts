import type { Capabilities, ModelInfo } from '../engine/backend.js'

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
  /** Whether clients must send a key. */
  keyed: boolean
}

/** What a person sees when the server is ready. */
export function banner(ready: Ready): string {
  const { address, info, capabilities } = ready
  const { cells, cellsPerSequence, bytesPerCell, sequenceIds } = capabilities
  const blocks = Math.floor(cells / ready.blockSize)
  const key = ready.keyed ? " -H 'authorization: Bearer YOUR_KEY'" : ''
  return `
  Octavo ${ready.version} is ready at ${address}

  model      ${ready.name} (${info.architecture}, ${parameters(info.parameters)} parameters, ${size(info.bytes)})
  device     ${info.device}, ${plural(ready.threads, 'CPU thread')}
  pool       ${grouped(blocks)} blocks of ${ready.blockSize} = ${grouped(cells)} tokens, ${size(cells * bytesPerCell)}, ${sequenceIds} sequence ids
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
  const { info, capabilities, ...rest } = ready
  const { cells, cellsPerSequence, bytesPerCell, sequenceIds } = capabilities
  const { path, architecture, device, libraryVersion } = info
  return {
    ...rest,
    file: path,
    architecture,
    device,
    libraryVersion,
    pool: { cells, cellsPerSequence, bytes: cells * bytesPerCell, sequenceIds }
  }
}

function parameters(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)}B` : `${Math.round(count / 1e6)}M`
}

function size(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`
}

function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
