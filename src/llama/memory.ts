/** How much memory a context will take, from the model's metadata, before anything is allocated. */
import { readFileSync } from 'node:fs'
import os from 'node:os'
import { type GgufHeader, metadataNumber, metadataPerLayer, metadataString } from './gguf.js'
import { cacheTypes } from './layout.js'

export interface ContextShape {
  cells: number
  sequenceIds: number
  batchRows: number
  outputRows: number
  cacheTypeK: string
  cacheTypeV: string
  flashAttention: 'auto' | 'on' | 'off'
}

export interface ContextBytes {
  /** Keys and values of one cell, all layers. */
  perCell: number
  /** Recurrent state of all sequence ids. */
  recurrent: number
  /** Logits of the output rows. */
  outputs: number
  /** Intermediate results of a batch, a rough upper figure. */
  compute: number
  total: number
}

/** What llama.cpp will allocate for a context of this shape, in bytes. */
export function estimateContext(
  header: GgufHeader,
  vocabularySize: number,
  shape: ContextShape
): ContextBytes {
  const arch = metadataString(header, 'general.architecture') ?? ''
  const get = (key: string) => metadataNumber(header, `${arch}.${key}`)
  const layers = get('block_count') ?? 0
  const embedding = get('embedding_length') ?? 0
  const perCell = bytesPerCell(header, shape.cacheTypeK, shape.cacheTypeV)
  const recurrent = recurrentBytes(header) * shape.sequenceIds
  const outputs = 4 * vocabularySize * Math.max(shape.outputRows, shape.sequenceIds)
  const feedForward = Math.max(0, ...(metadataPerLayer(header, `${arch}.feed_forward_length`, layers) ?? []))
  // The attention mask has a value per row and cell; without flash attention the scores do too, for every head.
  const heads = Math.max(1, ...(metadataPerLayer(header, `${arch}.attention.head_count`, layers) ?? []))
  const perPair = shape.flashAttention === 'off' ? 4 + 4 * heads : 2
  const masks = (get('attention.sliding_window') ?? 0) > 0 ? 2 : 1
  // A few intermediates of a row are alive at once: its states, and the widened ones between two matrices.
  const perRow = 4 * (8 * embedding + 3 * feedForward) + masks * perPair * shape.cells
  const compute = shape.batchRows * perRow + 4 * vocabularySize * shape.outputRows
  const total = perCell * shape.cells + recurrent + outputs + compute
  return { perCell, recurrent, outputs, compute, total }
}

/** Bytes of keys and values of one cell, all layers together. */
export function bytesPerCell(header: GgufHeader, cacheTypeK: string, cacheTypeV: string): number {
  const arch = metadataString(header, 'general.architecture') ?? ''
  const get = (key: string) => metadataNumber(header, `${arch}.${key}`)
  const layers = get('block_count') ?? 0
  const heads = metadataPerLayer(header, `${arch}.attention.head_count`, layers)
  const keyHeads = metadataPerLayer(header, `${arch}.attention.head_count_kv`, layers) ?? heads ?? []
  const perHead = (get('embedding_length') ?? 0) / Math.max(1, ...(heads ?? [1]))
  const latent = get('attention.kv_lora_rank')
  const keyLength = get('attention.key_length') ?? perHead
  const valueLength = get('attention.value_length') ?? perHead
  if (latent !== undefined && get('attention.key_length_mla') !== undefined) {
    // Multi-head latent attention keeps one compressed vector per layer, and no values.
    return layers * rowBytes(keyLength, cacheTypeK)
  }
  const withKeys = Math.max(1, layers - (get('attention.shared_kv_layers') ?? 0))
  const interval = get('full_attention_interval') ?? 1
  let bytes = 0
  for (let layer = 0; layer < Math.min(layers, withKeys); layer++) {
    if ((layer + 1) % interval !== 0) continue
    const count = keyHeads[layer] ?? keyHeads.at(-1) ?? 0
    bytes += rowBytes(count * keyLength, cacheTypeK) + rowBytes(count * valueLength, cacheTypeV)
  }
  return bytes
}

/** Share of the available memory that running states may take beyond the fewest that will do. */
const STATE_SHARE = 1 / 8

/**
 * How many sequence ids a context should have. Each has a running state of its own, allocated with the context: a few
 * kilobytes, tens of megabytes, or, with attention layers only, nothing.
 *
 * @param most wanted where they cost little.
 * @param fewest had at any price.
 * @param available bytes.
 */
export function sequenceIdsWithin(
  header: GgufHeader,
  { most, fewest }: { most: number; fewest: number },
  available: number
): number {
  const bytes = recurrentBytes(header)
  if (bytes === 0) return most
  return Math.min(most, Math.max(fewest, Math.floor((available * STATE_SHARE) / bytes)))
}

/** Bytes of the running state of one sequence; 0 for a model of attention layers only. Kept in f32. */
function recurrentBytes(header: GgufHeader): number {
  const arch = metadataString(header, 'general.architecture') ?? ''
  const get = (key: string) => metadataNumber(header, `${arch}.${key}`)
  const layers = get('block_count') ?? 0
  const keyHeads = metadataPerLayer(header, `${arch}.attention.head_count_kv`, layers)
  const recurrentLayers =
    keyHeads?.length === layers ? keyHeads.filter(count => count === 0).length || layers : layers
  const inner = get('ssm.inner_size') ?? 0
  const convolution = Math.max(0, (get('ssm.conv_kernel') ?? 0) - 1)
  const groups = get('ssm.group_count') ?? 0
  const stateSize = get('ssm.state_size') ?? 0
  const ssm = stateSize * inner + convolution * (inner + 2 * groups * stateSize)
  const shortConvolution = Math.max(0, (get('shortconv.l_cache') ?? 0) - 1) * (get('embedding_length') ?? 0)
  const wkv = (get('wkv.head_size') ?? 0) * (get('embedding_length') ?? 0)
  return 4 * recurrentLayers * (ssm + shortConvolution + wkv)
}

function rowBytes(elements: number, type: string): number {
  const layout = cacheTypes[type]!
  return (elements / layout.blockElements) * layout.blockBytes
}

/**
 * Bytes that this process may still allocate without driving the machine out of memory: on Linux the lesser of what
 * the system calls available and what the control group leaves; elsewhere what the system can free.
 */
export function availableMemory(): number {
  if (process.platform === 'linux') return Math.min(linuxAvailable(), controlGroupRoom())
  // macOS counts caches and compressible pages as used: freemem() is no measure there.
  if (process.platform === 'darwin') return os.totalmem() * 0.75
  return os.freemem()
}

function linuxAvailable(): number {
  const match = /^MemAvailable:\s+(\d+) kB/m.exec(readText('/proc/meminfo'))
  return match ? Number(match[1]) * 1024 : os.freemem()
}

function controlGroupRoom(): number {
  const constrained = process.constrainedMemory() ?? 0
  if (constrained <= 0 || constrained >= os.totalmem()) return Number.POSITIVE_INFINITY
  const used =
    Number(readText('/sys/fs/cgroup/memory.current')) ||
    Number(readText('/sys/fs/cgroup/memory/memory.usage_in_bytes')) ||
    process.memoryUsage.rss()
  // Cached file pages of the group can be dropped.
  const inactive = /^(?:total_)?inactive_file (\d+)/m.exec(
    readText('/sys/fs/cgroup/memory.stat') || readText('/sys/fs/cgroup/memory/memory.stat')
  )
  return Math.max(0, constrained - used + Number(inactive?.[1] ?? 0))
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
