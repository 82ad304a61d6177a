/** The contexts of a loaded model: the pool, and the lanes beside it. */
import path from 'node:path'
import { BackendError, type Capabilities, type ModelInfo } from '../engine/backend.js'
import { type GgufHeader, metadataString } from './gguf.js'
import { type LaneContext, laneCells } from './lanes.js'
import { cacheTypes, flashAttentionTypes, maxSequenceIds, type Pointer, type StructValue } from './layout.js'
import type { Functions, Library } from './library.js'
import type { BackendOptions } from './load.js'
import { causeIn } from './log.js'
import { availableMemory, type ContextBytes } from './memory.js'

/** Most rows with an output. */
export function outputRows(options: BackendOptions): number {
  return Math.min(options.batchRows, options.outputRows ?? options.sequenceIds ?? maxSequenceIds)
}

/** @throws BackendError */
export async function createContext(
  library: Library,
  model: Pointer,
  options: BackendOptions,
  header: GgufHeader,
  bytes: ContextBytes,
  lines: string[]
): Promise<Pointer> {
  const f = library.functions
  lines.length = 0
  const context = await newContext(f, model, contextParams(f, options))
  if (context === null) {
    const cause = causeIn(lines) ?? 'no reason given'
    const memory = /alloc|memory/i.test(cause)
    throw new BackendError(
      memory ? 'out_of_memory' : 'context_failed',
      `the context cannot be created: ${cause}${memory ? ` (it takes about ${gib(bytes.total)})` : ''}`
    )
  }
  if (f.llama_get_memory(context) === null) {
    f.llama_free(context)
    const architecture = metadataString(header, 'general.architecture')
    throw new BackendError(
      'load_failed',
      `${path.basename(options.model)} is not a model that generates text (architecture ${architecture})`
    )
  }
  return context
}

function contextParams(f: Functions, options: BackendOptions): StructValue<'llama_context_params'> {
  return {
    ...f.llama_context_default_params(),
    n_ctx: options.contextCells,
    n_batch: options.batchRows,
    // One micro-batch per decode: a failure in the middle would leave the earlier ones in place.
    n_ubatch: options.microBatchRows ?? options.batchRows,
    n_seq_max: options.sequenceIds ?? maxSequenceIds,
    // Fewer outputs than sequence ids make the library abort.
    n_outputs_max: Math.max(outputRows(options), options.sequenceIds ?? maxSequenceIds),
    n_threads: options.threads,
    n_threads_batch: options.threads,
    flash_attn_type: flashAttentionTypes[options.flashAttention],
    type_k: cacheTypes[options.cacheTypeK]!.id,
    type_v: cacheTypes[options.cacheTypeV]!.id,
    offload_kqv: options.gpuLayers !== 0,
    op_offload: options.gpuLayers !== 0,
    swa_full: true,
    kv_unified: true,
    no_perf: true
  }
}

function newContext(
  f: Functions,
  model: Pointer,
  params: StructValue<'llama_context_params'>
): Promise<Pointer> {
  return new Promise((resolve, reject) => {
    f.llama_init_from_model.async(model, params, (error, result) => (error ? reject(error) : resolve(result)))
  })
}

/** A context for running streams' private copies, where the pool's layout costs time: on a CPU. null: it goes without. */
export async function createLanes(
  { functions: f }: Library,
  model: Pointer,
  options: BackendOptions,
  { memory, bytesPerCell, cellsPerSequence, sequenceIds }: Capabilities,
  { device }: ModelInfo,
  copiesWhole: boolean
): Promise<LaneContext | null> {
  const count = Math.min(options.lanes ?? 0, maxSequenceIds)
  if (count < 2 || device !== 'CPU' || memory !== 'attention' || copiesWhole || sequenceIds < 4) return null
  const cells = laneCells(count, bytesPerCell, cellsPerSequence)
  if (cells === 0 || count * cells * bytesPerCell > availableMemory() / 4) return null
  const context = await newContext(f, model, {
    ...contextParams(f, options),
    n_ctx: count * cells,
    n_batch: count,
    n_ubatch: count,
    n_seq_max: count,
    n_outputs_max: count,
    kv_unified: false
  })
  if (context === null) return null
  const laneMemory = f.llama_get_memory(context)
  // Read back: the library rounds.
  const each = Math.floor(f.llama_n_ctx(context) / count)
  return { context, memory: laneMemory, count, cells: Math.min(cells, each) }
}

export function gib(bytes: number): string {
  return bytes >= 1024 ** 3 ? `${(bytes / 1024 ** 3).toFixed(1)} GiB` : `${Math.ceil(bytes / 1024 ** 2)} MiB`
}
