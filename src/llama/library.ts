/** libllama, loaded once per process: a typed function table, checked against the layouts this program was built for. */

import { BackendError } from '../engine/backend.js'
import koffi from './ffi.js'
import {
  BatchStruct,
  ContextParams,
  contextDefaults,
  LogitBias,
  ModelParams,
  modelDefaults,
  type Pointer,
  SamplerChainParams,
  type StructValue
} from './layout.js'
import { findLibraries, type Gpu, type LibraryFiles } from './locate.js'
import { Log, type LogMode } from './log.js'
import { presentGpus } from './runtime.js'

/** A native function that can also run on another thread. */
export interface Native<A extends unknown[], R> {
  (...args: A): R
  async: (...args: [...A, (error: Error | null, result: R) => void]) => void
}

type Vocab = Pointer
type Model = Pointer
type Context = Pointer
type Memory = Pointer
type SamplerPointer = Pointer
/** Native memory: an address, or a typed array whose memory is passed as it is. */
export type Memoryish = Pointer | Uint8Array | Int32Array

export interface Functions {
  llama_version: Native<[], string>
  llama_backend_init: Native<[], void>
  llama_log_set: Native<[Pointer, Pointer], void>
  llama_model_default_params: Native<[], StructValue<'llama_model_params'>>
  llama_context_default_params: Native<[], StructValue<'llama_context_params'>>
  llama_model_load_from_file: Native<[string, StructValue<'llama_model_params'>], Model>
  llama_model_free: Native<[Model], void>
  llama_init_from_model: Native<[Model, StructValue<'llama_context_params'>], Context>
  llama_free: Native<[Context], void>
  llama_n_ctx: Native<[Context], number>
  llama_n_batch: Native<[Context], number>
  llama_n_seq_max: Native<[Context], number>
  llama_get_memory: Native<[Context], Memory>
  llama_model_get_vocab: Native<[Model], Vocab>
  llama_model_n_ctx_train: Native<[Model], number>
  llama_model_n_embd: Native<[Model], number>
  llama_model_n_layer: Native<[Model], number>
  llama_model_n_swa: Native<[Model], number>
  llama_model_meta_val_str: Native<[Model, string, Uint8Array, number], number>
  llama_model_desc: Native<[Model, Uint8Array, number], number>
  llama_model_size: Native<[Model], number | bigint>
  llama_model_n_params: Native<[Model], number | bigint>
  llama_model_chat_template: Native<[Model, null], string | null>
  llama_model_has_encoder: Native<[Model], boolean>
  llama_model_has_decoder: Native<[Model], boolean>
  llama_model_is_recurrent: Native<[Model], boolean>
  llama_model_is_hybrid: Native<[Model], boolean>
  llama_model_is_diffusion: Native<[Model], boolean>
  /** `llama_vocab_type`; 0: the model has no vocabulary. */
  llama_vocab_type: Native<[Vocab], number>
  llama_vocab_n_tokens: Native<[Vocab], number>
  llama_vocab_is_eog: Native<[Vocab, number], boolean>
  llama_vocab_bos: Native<[Vocab], number>
  llama_vocab_eos: Native<[Vocab], number>
  llama_vocab_sep: Native<[Vocab], number>
  llama_vocab_get_add_bos: Native<[Vocab], boolean>
  llama_vocab_get_add_eos: Native<[Vocab], boolean>
  llama_vocab_get_add_sep: Native<[Vocab], boolean>
  llama_tokenize: Native<[Vocab, Memoryish, number, Memoryish, number, boolean, boolean], number>
  llama_token_to_piece: Native<[Vocab, number, Uint8Array, number, number, boolean], number>
  llama_set_abort_callback: Native<[Context, Pointer, Pointer], void>
  llama_set_n_threads: Native<[Context, number, number], void>
  llama_decode: Native<[Context, StructValue<'llama_batch'>], number>
  llama_get_logits: Native<[Context], Pointer>
  llama_memory_seq_cp: Native<[Memory, number, number, number, number], void>
  llama_memory_seq_rm: Native<[Memory, number, number, number], boolean>
  llama_memory_seq_pos_min: Native<[Memory, number], number>
  llama_memory_seq_pos_max: Native<[Memory, number], number>
  llama_state_get_size: Native<[Context], number | bigint>
  llama_state_seq_get_size: Native<[Context, number], number | bigint>
  llama_state_seq_get_data: Native<[Context, Uint8Array, number, number], number | bigint>
  llama_state_seq_set_data: Native<[Context, Uint8Array, number, number], number | bigint>
  llama_sampler_chain_init: Native<[StructValue<'llama_sampler_chain_params'>], SamplerPointer>
  llama_sampler_chain_add: Native<[SamplerPointer, SamplerPointer], void>
  llama_sampler_init_greedy: Native<[], SamplerPointer>
  llama_sampler_init_dist: Native<[number], SamplerPointer>
  llama_sampler_init_top_k: Native<[number], SamplerPointer>
  llama_sampler_init_top_p: Native<[number, number], SamplerPointer>
  llama_sampler_init_min_p: Native<[number, number], SamplerPointer>
  llama_sampler_init_temp: Native<[number], SamplerPointer>
  llama_sampler_init_penalties: Native<[number, number, number, number, number], SamplerPointer>
  llama_sampler_init_logit_bias: Native<
    [number, number, Array<StructValue<'llama_logit_bias'>>],
    SamplerPointer
  >
  llama_sampler_sample: Native<[SamplerPointer, Context, number], number>
  llama_sampler_accept: Native<[SamplerPointer, number], void>
  llama_sampler_free: Native<[SamplerPointer], void>
}

type TypeSpec = Parameters<typeof koffi.sizeof>[0]

const pointer = 'void *'

/** Return type and parameters of each function, as in `llama.h`. */
const signatures: Record<keyof Functions, [result: TypeSpec, parameters: TypeSpec[]]> = {
  llama_version: ['str', []],
  llama_backend_init: ['void', []],
  llama_log_set: ['void', [pointer, pointer]],
  llama_model_default_params: [ModelParams, []],
  llama_context_default_params: [ContextParams, []],
  llama_model_load_from_file: [pointer, ['str', ModelParams]],
  llama_model_free: ['void', [pointer]],
  llama_init_from_model: [pointer, [pointer, ContextParams]],
  llama_free: ['void', [pointer]],
  llama_n_ctx: ['uint32', [pointer]],
  llama_n_batch: ['uint32', [pointer]],
  llama_n_seq_max: ['uint32', [pointer]],
  llama_get_memory: [pointer, [pointer]],
  llama_model_get_vocab: [pointer, [pointer]],
  llama_model_n_ctx_train: ['int32', [pointer]],
  llama_model_n_embd: ['int32', [pointer]],
  llama_model_n_layer: ['int32', [pointer]],
  llama_model_n_swa: ['int32', [pointer]],
  llama_model_meta_val_str: ['int32', [pointer, 'str', pointer, 'size_t']],
  llama_model_desc: ['int32', [pointer, pointer, 'size_t']],
  llama_model_size: ['uint64', [pointer]],
  llama_model_n_params: ['uint64', [pointer]],
  llama_model_chat_template: ['str', [pointer, 'str']],
  llama_model_has_encoder: ['bool', [pointer]],
  llama_model_has_decoder: ['bool', [pointer]],
  llama_model_is_recurrent: ['bool', [pointer]],
  llama_model_is_hybrid: ['bool', [pointer]],
  llama_model_is_diffusion: ['bool', [pointer]],
  llama_vocab_type: ['int', [pointer]],
  llama_vocab_n_tokens: ['int32', [pointer]],
  llama_vocab_is_eog: ['bool', [pointer, 'int32']],
  llama_vocab_bos: ['int32', [pointer]],
  llama_vocab_eos: ['int32', [pointer]],
  llama_vocab_sep: ['int32', [pointer]],
  llama_vocab_get_add_bos: ['bool', [pointer]],
  llama_vocab_get_add_eos: ['bool', [pointer]],
  llama_vocab_get_add_sep: ['bool', [pointer]],
  llama_tokenize: ['int32', [pointer, pointer, 'int32', pointer, 'int32', 'bool', 'bool']],
  llama_token_to_piece: ['int32', [pointer, 'int32', pointer, 'int32', 'int32', 'bool']],
  llama_set_abort_callback: ['void', [pointer, pointer, pointer]],
  llama_set_n_threads: ['void', [pointer, 'int32', 'int32']],
  llama_decode: ['int32', [pointer, BatchStruct]],
  llama_get_logits: [pointer, [pointer]],
  llama_memory_seq_cp: ['void', [pointer, 'int32', 'int32', 'int32', 'int32']],
  llama_memory_seq_rm: ['bool', [pointer, 'int32', 'int32', 'int32']],
  llama_memory_seq_pos_min: ['int32', [pointer, 'int32']],
  llama_memory_seq_pos_max: ['int32', [pointer, 'int32']],
  llama_state_get_size: ['size_t', [pointer]],
  llama_state_seq_get_size: ['size_t', [pointer, 'int32']],
  llama_state_seq_get_data: ['size_t', [pointer, pointer, 'size_t', 'int32']],
  llama_state_seq_set_data: ['size_t', [pointer, pointer, 'size_t', 'int32']],
  llama_sampler_chain_init: [pointer, [SamplerChainParams]],
  llama_sampler_chain_add: ['void', [pointer, pointer]],
  llama_sampler_init_greedy: [pointer, []],
  llama_sampler_init_dist: [pointer, ['uint32']],
  llama_sampler_init_top_k: [pointer, ['int32']],
  llama_sampler_init_top_p: [pointer, ['float', 'size_t']],
  llama_sampler_init_min_p: [pointer, ['float', 'size_t']],
  llama_sampler_init_temp: [pointer, ['float']],
  llama_sampler_init_penalties: [pointer, ['int32', 'int32', 'float', 'float', 'float']],
  llama_sampler_init_logit_bias: [pointer, ['int32', 'int32', koffi.pointer(LogitBias)]],
  llama_sampler_sample: ['int32', [pointer, pointer, 'int32']],
  llama_sampler_accept: ['void', [pointer, 'int32']],
  llama_sampler_free: ['void', [pointer]]
}

/** Functions of libggml and libggml-base about the devices that were found. */
export interface DeviceFunctions {
  count: () => number
  get: (index: number) => Pointer
  name: (device: Pointer) => string
  description: (device: Pointer) => string
  /** `ggml_backend_dev_type`: 0 CPU, 1 GPU, 2 integrated GPU, 3 accelerator. */
  type: (device: Pointer) => number
  memory: (device: Pointer, free: BigUint64Array, total: BigUint64Array) => void
}

export interface Library {
  readonly files: LibraryFiles
  readonly version: string
  readonly functions: Functions
  readonly devices: DeviceFunctions
  readonly log: Log
}

/** The version whose layouts `layout.ts` describes. */
const supportedVersion = /^v?0\.5\.\d+/

let loaded: Library | undefined

/**
 * Loads the best build for this machine, once per process: later calls return the same library.
 *
 * @param wantsGpu false: a CPU build is enough (it starts faster).
 * @throws BackendError `library_missing` or `layout_mismatch`.
 */
export function loadLibrary(options: { log: LogMode; wantsGpu: boolean }): Library {
  if (loaded) return loaded
  const gpus: Gpu[] = options.wantsGpu ? presentGpus() : []
  const candidates = findLibraries({ gpus, override: process.env.OCTAVO_LLAMA_LIB })
  const failures: string[] = []
  for (const files of candidates) {
    try {
      loaded = open(files, options.log)
      return loaded
    } catch (error) {
      if (error instanceof BackendError) throw error
      failures.push(`${files.folder}: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  throw new BackendError('library_missing', missingMessage(failures))
}

function missingMessage(failures: string[]): string {
  if (failures.length > 0) return `llama.cpp's libraries do not load: ${failures.join('; ')}`
  const override = process.env.OCTAVO_LLAMA_LIB
  return override
    ? `no llama.cpp libraries in OCTAVO_LLAMA_LIB (${override})`
    : `node-llama-cpp has no libraries installed for ${process.platform} ${process.arch}`
}

function open(files: LibraryFiles, logMode: LogMode): Library {
  const base = koffi.load(files.ggmlBase, { global: true })
  const ggml = koffi.load(files.ggml, { global: true })
  const llama = koffi.load(files.llama, { global: true })
  const functions = Object.fromEntries(
    Object.entries(signatures).map(([name, [result, parameters]]) => [
      name,
      llama.func(name, result, parameters)
    ])
  ) as unknown as Functions
  const version = checkLayout(functions)
  const log = new Log(functions.llama_log_set, logMode)
  log.rest()
  const devices: DeviceFunctions = {
    count: ggml.func('ggml_backend_dev_count', 'size_t', []),
    get: ggml.func('ggml_backend_dev_get', pointer, ['size_t']),
    name: base.func('ggml_backend_dev_name', 'str', [pointer]),
    description: base.func('ggml_backend_dev_description', 'str', [pointer]),
    type: base.func('ggml_backend_dev_type', 'int', [pointer]),
    memory: base.func('ggml_backend_dev_memory', 'void', [pointer, pointer, pointer])
  }
  const loadBackends: (folder: string) => void = ggml.func('ggml_backend_load_all_from_path', 'void', ['str'])
  loadBackends(files.folder)
  for (const folder of files.fallbackFolders) {
    if (hasGpu(devices)) break
    loadBackends(folder)
  }
  functions.llama_backend_init()
  return { files, version, functions, devices, log }
}

/** Whether a GPU backend is loaded and has found a device. */
export function hasGpu(devices: DeviceFunctions): boolean {
  for (let index = 0; index < devices.count(); index++) {
    const type = devices.type(devices.get(index))
    if (type === 1 || type === 2) return true
  }
  return false
}

/**
 * Compares the structs with what the library returns by value: a field that moved shows as a wrong default.
 * @returns The library's version.
 * @throws BackendError `layout_mismatch`.
 */
export function checkLayout(
  functions: Pick<Functions, 'llama_version' | 'llama_model_default_params' | 'llama_context_default_params'>
): string {
  const version = functions.llama_version()
  if (!supportedVersion.test(version)) {
    throw new BackendError('layout_mismatch', `llama.cpp ${version} is installed, this program needs v0.5`)
  }
  const differences = [
    ...differing('llama_model_params', functions.llama_model_default_params(), modelDefaults),
    ...differing('llama_context_params', functions.llama_context_default_params(), contextDefaults)
  ]
  if (differences.length > 0) {
    throw new BackendError(
      'layout_mismatch',
      `llama.cpp ${version} does not have the expected struct layout (${differences.join(', ')})`
    )
  }
  return version
}

function differing(struct: string, actual: object, expected: Record<string, unknown>): string[] {
  return Object.entries(actual)
    .filter(([field, value]) => {
      const wanted = expected[field]
      if (wanted !== undefined) return value !== wanted
      return value !== null && value !== false && Number(value) !== 0
    })
    .map(([field]) => `${struct}.${field}`)
}
