import { type GgufHeader, metadataNumber, metadataString } from './gguf.js'
import { maxSequenceIds } from './layout.js'
import type { BackendOptions } from './load.js'
import { estimateContext } from './memory.js'
import type { ModelFile } from './model-file.js'

/** Share of the free device memory that is planned with; the rest is for buffers nobody can foresee. */
const usable = 0.9

/**
 * `n_gpu_layers`: -1 means all. `auto` takes as many layers as fit with their share of the context.
 *
 * @param free Free memory of the devices, bytes.
 */
export function gpuLayersFor(
  options: BackendOptions,
  header: GgufHeader,
  files: readonly ModelFile[],
  free: number
): number {
  if (options.gpuLayers === 'all') return -1
  if (options.gpuLayers !== 'auto') return options.gpuLayers
  const arch = metadataString(header, 'general.architecture') ?? ''
  const get = (key: string) => metadataNumber(header, `${arch}.${key}`) ?? 0
  const sequenceIds = options.sequenceIds ?? maxSequenceIds
  const context = estimateContext(header, get('vocab_size'), {
    cells: options.contextCells || get('context_length'),
    sequenceIds,
    batchRows: options.microBatchRows ?? options.batchRows,
    outputRows: options.outputRows ?? sequenceIds,
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
    flashAttention: options.flashAttention
  })
  const weights = files.reduce((sum, file) => sum + file.header.fileBytes, 0)
  const room = free * usable - context.compute
  const cells = context.total - context.compute
  if (room >= weights + cells) return -1
  // The output layer counts as one more.
  const layers = get('block_count') + 1
  return Math.max(0, Math.floor((layers * room) / (weights + cells)))
}
