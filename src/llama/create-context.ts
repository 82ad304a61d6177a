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
import { type PromptLaneContext, promptLaneCells, promptLaneSequences } from './prompt-lane.js'

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

type ContextParams = StructValue<'llama_context_params'>

function contextParams(f: Functions, options: BackendOptions): ContextParams {
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

function newContext(f: Functions, model: Pointer, params: ContextParams): Promise<Pointer> {
  return new Promise((resolve, reject) => {
    f.llama_init_from_model.async(model, params, (error, result) => (error ? reject(error) : resolve(result)))
  })
}

/** Contexts for running streams' private copies, where the pool's layout costs time: on a CPU. null: it goes without. */
export async function createLanes(
  { functions: f }: Library,
  model: Pointer,
  options: BackendOptions,
  { memory, bytesPerCell, cellsPerSequence, sequenceIds }: Capabilities,
  { device }: ModelInfo,
  copiesWhole: boolean
): Promise<{ lanes: LaneContext | null; promptLane: PromptLaneContext | null }> {
  const none = { lanes: null, promptLane: null }
  const count = Math.min(options.lanes ?? 0, maxSequenceIds)
  if (count < 2 || device !== 'CPU' || memory !== 'attention' || copiesWhole || sequenceIds < 4) return none
  const most = availableMemory() / 4
  const create = async (sequences: number, cells: number, special: Partial<ContextParams>) => {
    if (cells === 0 || cells * bytesPerCell > most) return null
    const params = { ...contextParams(f, options), n_ctx: cells, n_seq_max: sequences, ...special }
    const context = await newContext(f, model, { ...params, n_outputs_max: sequences })
    if (context === null) return null
    // Read back: the library rounds.
    return { context, memory: f.llama_get_memory(context), cells: Math.min(cells, f.llama_n_ctx(context)) }
  }
  const cells = laneCells(count, bytesPerCell, cellsPerSequence)
  const split = { n_batch: count, n_ubatch: count, kv_unified: false }
  const lanes = await create(count, count * cells, split)
  const promptLane = await create(promptLaneSequences, promptLaneCells(bytesPerCell, cellsPerSequence), {})
  return { lanes: lanes && { ...lanes, count, cells: Math.floor(lanes.cells / count) }, promptLane }
}

export function gib(bytes: number): string {
  return bytes >= 1024 ** 3 ? `${(bytes / 1024 ** 3).toFixed(1)} GiB` : `${Math.ceil(bytes / 1024 ** 2)} MiB`
}
