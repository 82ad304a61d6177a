/**
 * The structs of llama.cpp v0.5.0 (`include/llama.h`) that cross the boundary by value, and the numbers of its enums.
 * `test/llama/layout.test.ts` compiles the header from node-llama-cpp's source bundle and compares every offset.
 */
import koffi from './ffi.js'

export const layouts = {
  llama_model_params: {
    devices: 'void *',
    tensor_buft_overrides: 'void *',
    n_gpu_layers: 'int32',
    split_mode: 'int',
    load_mode: 'int',
    lazy_mode: 'int',
    main_gpu: 'int32',
    tensor_split: 'void *',
    progress_callback: 'void *',
    progress_callback_user_data: 'void *',
    kv_overrides: 'void *',
    vocab_only: 'bool',
    check_tensors: 'bool',
    use_extra_bufts: 'bool',
    no_host: 'bool',
    no_alloc: 'bool',
    load_mtp: 'bool'
  },
  llama_context_params: {
    n_ctx: 'uint32',
    n_batch: 'uint32',
    n_ubatch: 'uint32',
    n_seq_max: 'uint32',
    n_rs_seq: 'uint32',
    n_outputs_max: 'uint32',
    n_outputs_max_per_seq: 'uint32',
    n_threads: 'int32',
    n_threads_batch: 'int32',
    ctx_type: 'int',
    rope_scaling_type: 'int',
    pooling_type: 'int',
    attention_type: 'int',
    flash_attn_type: 'int',
    rope_freq_base: 'float',
    rope_freq_scale: 'float',
    yarn_ext_factor: 'float',
    yarn_attn_factor: 'float',
    yarn_beta_fast: 'float',
    yarn_beta_slow: 'float',
    yarn_orig_ctx: 'uint32',
    defrag_thold: 'float',
    cb_eval: 'void *',
    cb_eval_user_data: 'void *',
    type_k: 'int',
    type_v: 'int',
    abort_callback: 'void *',
    abort_callback_data: 'void *',
    embeddings: 'bool',
    offload_kqv: 'bool',
    no_perf: 'bool',
    op_offload: 'bool',
    swa_full: 'bool',
    kv_unified: 'bool',
    samplers: 'void *',
    n_samplers: 'size_t',
    ctx_other: 'void *'
  },
  llama_batch: {
    n_tokens: 'int32',
    token: 'void *',
    embd: 'void *',
    pos: 'void *',
    n_seq_id: 'void *',
    seq_id: 'void *',
    logits: 'void *'
  },
  llama_sampler_chain_params: { no_perf: 'bool' },
  llama_logit_bias: { token: 'int32', bias: 'float' }
} as const

export const ModelParams = koffi.struct('llama_model_params', layouts.llama_model_params)
export const ContextParams = koffi.struct('llama_context_params', layouts.llama_context_params)
export const BatchStruct = koffi.struct('llama_batch', layouts.llama_batch)
export const SamplerChainParams = koffi.struct(
  'llama_sampler_chain_params',
  layouts.llama_sampler_chain_params
)
export const LogitBias = koffi.struct('llama_logit_bias', layouts.llama_logit_bias)

export const LogCallback = koffi.pointer(koffi.proto('llama_log_callback', 'void', ['int', 'str', 'void *']))
export const ProgressCallback = koffi.pointer(
  koffi.proto('llama_progress_callback', 'bool', ['float', 'void *'])
)

/** Opaque address of a native object. */
export type Pointer = unknown

type Field<T extends string> = T extends 'void *'
  ? Pointer
  : T extends 'bool'
    ? boolean
    : T extends 'size_t'
      ? number | bigint
      : number

export type StructValue<K extends keyof typeof layouts> = {
  -readonly [F in keyof (typeof layouts)[K]]: Field<(typeof layouts)[K][F] & string>
}

/** `ggml_type` numbers of the types a KV cache may have, with their block layout: [id, elements, bytes]. */
export const cacheTypes: Record<string, { id: number; blockElements: number; blockBytes: number }> = {
  f32: { id: 0, blockElements: 1, blockBytes: 4 },
  f16: { id: 1, blockElements: 1, blockBytes: 2 },
  bf16: { id: 30, blockElements: 1, blockBytes: 2 },
  q8_0: { id: 8, blockElements: 32, blockBytes: 34 },
  q5_1: { id: 7, blockElements: 32, blockBytes: 24 },
  q5_0: { id: 6, blockElements: 32, blockBytes: 22 },
  q4_1: { id: 3, blockElements: 32, blockBytes: 20 },
  q4_0: { id: 2, blockElements: 32, blockBytes: 18 },
  iq4_nl: { id: 20, blockElements: 32, blockBytes: 18 }
}

export const flashAttentionTypes = { auto: -1, off: 0, on: 1 } as const

/** `llama_load_mode`. */
export const loadModes = { auto: -1, none: 0, mmap: 1, mlock: 2, 'mmap+mlock': 3 } as const

/** `LLAMA_MAX_SEQ`: more sequence ids make the library abort. */
export const maxSequenceIds = 256

/** `LLAMA_DEFAULT_SEED` asks for a random seed, so it is not a seed like others. */
export const randomSeed = 0xffffffff

/** What `llama_model_default_params()` of the supported version returns, where not zero, null or false. */
export const modelDefaults: Partial<StructValue<'llama_model_params'>> = {
  n_gpu_layers: -1,
  split_mode: 1,
  load_mode: -1,
  lazy_mode: 1,
  use_extra_bufts: true
}

/** What `llama_context_default_params()` of the supported version returns, where not zero, null or false. */
export const contextDefaults: Partial<StructValue<'llama_context_params'>> = {
  n_ctx: 512,
  n_batch: 2048,
  n_ubatch: 512,
  n_seq_max: 1,
  n_outputs_max_per_seq: 1,
  n_threads: 4,
  n_threads_batch: 4,
  rope_scaling_type: -1,
  pooling_type: -1,
  attention_type: -1,
  flash_attn_type: -1,
  yarn_ext_factor: -1,
  yarn_attn_factor: -1,
  yarn_beta_fast: -1,
  yarn_beta_slow: -1,
  defrag_thold: -1,
  type_k: 1,
  type_v: 1,
  offload_kqv: true,
  no_perf: true,
  op_offload: true,
  swa_full: true
}
