/** From a file to a model with a context, with everything that can be refused refused before it is allocated. */
import path from 'node:path'
import { BackendError, type Capabilities, type ModelInfo } from '../engine/backend.js'
import { Breaks } from './breaks.js'
import { createContext, createLanes, gib, outputRows } from './create-context.js'
import { computeDevice, type Device } from './device.js'
import koffi from './ffi.js'
import { fingerprint } from './fingerprint.js'
import { type GgufHeader, metadataNumber, metadataString } from './gguf.js'
import type { LaneContext } from './lanes.js'
import { cacheTypes, loadModes, maxSequenceIds, type Pointer, ProgressCallback } from './layout.js'
import { type Functions, type Library, loadLibrary } from './library.js'
import type { LogMode } from './log.js'
import { availableMemory, type ContextBytes, estimateContext, sequenceIdsWithin } from './memory.js'
import { type ModelFile, readModelFiles } from './model-file.js'
import { gpuLayersFor } from './offload.js'
import { assertVocabulary, describeFile, inTurn, openModel } from './open-model.js'
import type { PromptLaneContext } from './prompt-lane.js'

export interface BackendOptions {
  /** Path of the GGUF file; of the first one when the model is split into several. */
  model: string
  /** Cells of the pool; 0: the model's training context. Rounded up to a multiple of 256. */
  contextCells: number
  /** 1..256. */
  sequenceIds?: number
  /** So few of them will do for a model whose every id takes a running state of megabytes. Default: no fewer. */
  fewestSequenceIds?: number
  /** Most rows of one decode; at most the number of cells. */
  batchRows: number
  /** Rows computed at once inside a decode. Fewer than batchRows saves memory, but a failure may leave half a batch. */
  microBatchRows?: number
  /** Most rows with an output in one decode. At least as many as sequence ids are reserved by the library. */
  outputRows?: number
  threads: number
  gpuLayers: number | 'auto' | 'all'
  /** One of `cacheTypes`: f16, f32, bf16, q8_0, q4_0, ... */
  cacheTypeK: string
  cacheTypeV: string
  flashAttention: 'auto' | 'on' | 'off'
  /** Default: `auto`, see `loadModeFor`. */
  loadMode?: keyof typeof loadModes
  /** Streams that may run at once, for which the pool may have lanes (lanes.ts); default 0: it has none. */
  lanes?: number
  /** What happens to llama.cpp's own log lines; the first load of a process decides. */
  log?: LogMode
}

export interface LoadedModel {
  library: Library
  model: Pointer
  context: Pointer
  memory: Pointer
  vocab: Pointer
  info: ModelInfo
  capabilities: Capabilities
  /** The memory can be copied between sequences only as a whole. */
  copiesWhole: boolean
  lanes: LaneContext | null
  promptLane: PromptLaneContext | null
  /** Of long decodes; null where there are none, or no lanes that could compute in them. */
  breaks: Breaks | null
  threads: number
}

/** Architectures whose memory asserts that a sequence is copied as a whole (`llama-kv-cache-dsv4.cpp`). */
const wholeCopyArchitectures = new Set(['deepseek4'])

/** @throws BackendError */
export function loadModel(
  options: BackendOptions,
  onProgress?: (fraction: number) => void
): Promise<LoadedModel> {
  return inTurn(() => loadNext(options, onProgress))
}

async function loadNext(
  wanted: BackendOptions,
  onProgress?: (fraction: number) => void
): Promise<LoadedModel> {
  checkOptions(wanted)
  const files = readModelFiles(wanted.model)
  const header = files[0]!.header
  const most = wanted.sequenceIds ?? maxSequenceIds
  const fewest = wanted.fewestSequenceIds ?? most
  const options = { ...wanted, sequenceIds: sequenceIdsWithin(header, { most, fewest }, availableMemory()) }
  const library = loadLibrary({ log: options.log ?? 'silent', wantsGpu: options.gpuLayers !== 0 })
  const device = computeDevice(library.devices, options.gpuLayers !== 0)
  const bytes = refuseOversized(library, options, header, files, device)
  const f = library.functions
  return library.log.capture(async lines => {
    const model = await loadWeights(library, options, header, files, device, lines, onProgress)
    const contexts: Pointer[] = []
    try {
      const vocab = f.llama_model_get_vocab(model)
      refuseOtherModels(f, model, vocab, options.model)
      const context = await createContext(library, model, options, header, bytes, lines)
      contexts.push(context)
      const memory = f.llama_get_memory(context)
      const info = describe(library, model, options, files, device)
      const capabilities = capabilitiesOf(f, model, context, options, bytes, info)
      const copiesWhole = wholeCopyArchitectures.has(info.architecture)
      const copies = await createLanes(library, model, options, capabilities, info, copiesWhole)
      const { lanes, promptLane } = copies
      for (const copy of [lanes, promptLane]) if (copy) contexts.push(copy.context)
      if (lanes) capabilities.laneCells = lanes.cells
      if (promptLane) capabilities.promptLaneCells = promptLane.cells
      // One id of the pool is what passes between it and the copies.
      if (lanes || promptLane) capabilities.sequenceIds--
      const breaks = lanes && (await Breaks.create(f, f.llama_model_n_layer(model)))
      return {
        ...{ library, model, context, memory, vocab, info, capabilities, copiesWhole },
        ...{ lanes, promptLane, breaks, threads: options.threads }
      }
    } catch (error) {
      for (const context of contexts) f.llama_free(context)
      f.llama_model_free(model)
      throw error
    }
  })
}

function checkOptions(options: BackendOptions): void {
  const whole = (name: string, value: number | undefined, least: number, most: number) => {
    if (value !== undefined && !(Number.isInteger(value) && value >= least && value <= most)) {
      throw new BackendError('context_failed', `${name} must be a whole number from ${least} to ${most}`)
    }
  }
  whole('contextCells', options.contextCells, 0, 0x7fffff00)
  whole('sequenceIds', options.sequenceIds, 1, maxSequenceIds)
  whole('fewestSequenceIds', options.fewestSequenceIds, 1, options.sequenceIds ?? maxSequenceIds)
  whole('batchRows', options.batchRows, 1, 1 << 20)
  whole('microBatchRows', options.microBatchRows, 1, options.batchRows)
  whole('outputRows', options.outputRows, 1, options.batchRows)
  whole('threads', options.threads, 1, 512)
  for (const type of [options.cacheTypeK, options.cacheTypeV]) {
    if (!Object.hasOwn(cacheTypes, type)) {
      throw new BackendError(
        'context_failed',
        `unknown cache type ${type}; known are ${Object.keys(cacheTypes).join(', ')}`
      )
    }
  }
}

async function loadWeights(
  library: Library,
  options: BackendOptions,
  header: GgufHeader,
  files: readonly ModelFile[],
  device: Device,
  lines: string[],
  onProgress?: (fraction: number) => void
): Promise<Pointer> {
  const f = library.functions
  const params = f.llama_model_default_params()
  params.n_gpu_layers = device.free === null ? 0 : gpuLayersFor(options, header, files, device.free)
  params.load_mode = loadModes[loadModeFor(options, files, device)]
  // The library calls this from the thread of the load; koffi brings each call to this thread, whose loop is free.
  const progress = onProgress
    ? koffi.register((fraction: number) => {
        onProgress(fraction)
        return true
      }, ProgressCallback)
    : null
  params.progress_callback = progress
  try {
    return await openModel(library, options.model, params, device.free === null, lines)
  } finally {
    if (progress !== null) koffi.unregister(progress)
  }
}

/** Weights that take at most this part of the available memory are read into it. */
const READ_SHARE = 0.25

/**
 * A mapped file has pages of 4 KiB, and a CPU going over all weights in every step spends a tenth of the time of a small
 * model on looking them up; memory of our own can have large pages (`engine-process.ts` asks for them). It also
 * survives the file being cut short. Large models stay mapped: the system may drop what it can read again.
 */
function loadModeFor(
  options: BackendOptions,
  files: readonly ModelFile[],
  device: Device
): keyof typeof loadModes {
  const mode = options.loadMode ?? 'auto'
  if (mode !== 'auto' || device.free !== null) return mode
  const weights = files.reduce((sum, file) => sum + file.header.fileBytes, 0)
  return weights <= availableMemory() * READ_SHARE ? 'none' : 'auto'
}

/** Embedding models have no cells, encoders need another call, diffusion models do not go token by token. */
function refuseOtherModels(f: Functions, model: Pointer, vocab: Pointer, file: string): void {
  const name = path.basename(file)
  assertVocabulary(f, vocab, file)
  if (f.llama_model_has_encoder(model) || !f.llama_model_has_decoder(model)) {
    throw new BackendError('load_failed', `${name} is not a model that generates text (it has an encoder)`)
  }
  if (f.llama_model_is_diffusion(model)) {
    throw new BackendError('load_failed', `${name} is a diffusion model, which is not supported`)
  }
}

/**
 * Linux would promise the memory and kill the process later, so the sum is done before anything is loaded.
 * @throws BackendError `out_of_memory`.
 */
function refuseOversized(
  library: Library,
  options: BackendOptions,
  header: GgufHeader,
  files: readonly ModelFile[],
  device: Device
): ContextBytes {
  const arch = metadataString(header, 'general.architecture')
  const wanted = options.contextCells || (metadataNumber(header, `${arch}.context_length`) ?? 0)
  const cells = Math.ceil(wanted / 256) * 256
  const words = header.metadata.get('tokenizer.ggml.tokens')
  const bytes = estimateContext(header, typeof words === 'object' ? words.length : 0, {
    cells,
    sequenceIds: options.sequenceIds ?? maxSequenceIds,
    batchRows: Math.min(cells, options.microBatchRows ?? options.batchRows),
    outputRows: outputRows(options),
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
    flashAttention: options.flashAttention
  })
  const weights = files.reduce((sum, file) => sum + file.header.fileBytes, 0)
  const available = memoryFor(library, options, device)
  if (weights + bytes.total > available) {
    throw new BackendError(
      'out_of_memory',
      `a context of ${cells} cells takes ${gib(bytes.total)} beside the model's ${gib(weights)}; ` +
        `${gib(available)} of memory are available`
    )
  }
  return bytes
}

/** Bytes that weights and context may take together: of the host, of the device, or of both. */
function memoryFor(library: Library, options: BackendOptions, device: Device): number {
  const host = availableMemory()
  if (device.free === null) return host
  // On Apple Silicon both are the same memory.
  if (library.files.gpu === 'metal') return Math.min(host, device.free)
  return options.gpuLayers === 'all' ? device.free : host + device.free
}

/**
 * From 64 rows on the CPU's flash attention goes over tiles of cells, and rounds by where they lie. Below, it depends on
 * the type of the weights (f32 ones are multiplied in another order for one row): the warm-up finds out.
 */
const CPU_INVARIANT_ROWS = 63

function capabilitiesOf(
  f: Functions,
  model: Pointer,
  context: Pointer,
  options: BackendOptions,
  bytes: ContextBytes,
  info: ModelInfo
): Capabilities {
  const cells = f.llama_n_ctx(context)
  const batchRows = Math.min(options.batchRows, f.llama_n_batch(context))
  const window = Math.max(0, f.llama_model_n_swa(model))
  return {
    layout: 'unified',
    sharesCells: !wholeCopyArchitectures.has(info.architecture),
    joinsBlobs: !f.llama_model_is_recurrent(model),
    memory: memoryKind(f, model, window),
    window,
    cells,
    cellsPerSequence: info.trainingContext > 0 ? Math.min(cells, info.trainingContext) : cells,
    sequenceIds: f.llama_n_seq_max(context),
    batchRows,
    outputRows: Math.min(batchRows, outputRows(options)),
    invariantRows: info.device === 'CPU' && options.flashAttention !== 'off' ? CPU_INVARIANT_ROWS : 0,
    bytesPerCell: bytes.perCell
  }
}

function memoryKind(f: Functions, model: Pointer, window: number): Capabilities['memory'] {
  if (f.llama_model_is_hybrid(model)) return 'hybrid'
  if (f.llama_model_is_recurrent(model)) return 'recurrent'
  return window > 0 ? 'window' : 'attention'
}

function describe(
  library: Library,
  model: Pointer,
  options: BackendOptions,
  files: readonly ModelFile[],
  device: Device
): ModelInfo {
  const f = library.functions
  const description = Buffer.alloc(256)
  const length = f.llama_model_desc(model, description, description.length)
  return {
    ...describeFile(library, model, files[0]!.header, options.model),
    description: description.toString('utf8', 0, Math.min(length, description.length - 1)),
    parameters: Number(f.llama_model_n_params(model)),
    bytes: Number(f.llama_model_size(model)),
    trainingContext: f.llama_model_n_ctx_train(model),
    embeddingLength: f.llama_model_n_embd(model),
    device: device.text,
    fingerprint: fingerprint(files, {
      cacheTypeK: options.cacheTypeK,
      cacheTypeV: options.cacheTypeV,
      layout: 'unified',
      flashAttention: options.flashAttention,
      libraryVersion: library.version
    })
  }
}
