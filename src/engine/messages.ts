/**
 * What the server process and an engine process say to each other: plain JSON values over a `fork` channel
 * (`serialization: 'json'`, twice as fast as `advanced` for small objects). The engine sends one message per step.
 */
import type { Capabilities, ModelInfo, SamplerParams } from './backend.js'
import type { Thinking } from './constraint/thinking.js'
import type { HistogramSnapshot } from './histogram.js'
import type { CostFigures } from './tiers/cost-model.js'

/** A prompt is a list of segments, so that a later kind (an image) can stand between texts. */
export type PromptSegment =
  | {
      type: 'text'
      text: string
      /** Read special tokens in the text as such (rendered templates: yes; raw user text: no). */
      parseSpecial: boolean
      /** Let the tokenizer add BOS if the vocabulary asks for it (never a second one: the engine checks). */
      addSpecial: boolean
      /** Offsets in UTF-16 units after which a prefix is worth keeping: end of system + tools, end of a user turn. */
      anchors?: number[]
    }
  | { type: 'tokens'; tokens: number[] }

export type JsonConstraint =
  | { type: 'json_object' }
  | { type: 'json_schema'; schema: unknown; strict: boolean }

/** Restricts what may be generated. Compiled in the engine process, off its loop. */
export type Constraint =
  | JsonConstraint
  | { type: 'grammar'; grammar: string }
  | {
      type: 'tools'
      format: string
      /** `strict`: every keyword of the parameters has to be held while generating; left out: false. */
      tools: Array<{ name: string; parameters: unknown; strict?: boolean }>
      choice: 'auto' | 'required' | string
      parallel: boolean
      /** With `auto`: what the answer has to be where no tool is called. Left out: any text, also before a call. */
      otherwise?: JsonConstraint
    }

export interface GenerationRequest {
  prompt: PromptSegment[]
  /** Most tokens to generate; null: as many as fit. */
  maxTokens: number | null
  /** How many answers (choices) to the same prompt; they share one prefill. */
  choices: number
  sampling: SamplerParams
  /** Texts that end the answer; never emitted. */
  stop: string[]
  ignoreEndOfText: boolean
  /** Emit special tokens as text (off for chat). */
  emitSpecial: boolean
  /** null: no logprobs. Otherwise how many alternatives beside the chosen token, 0..20. */
  logprobs: number | null
  /**
   * Log probabilities of the prompt's own tokens too, with as many alternatives; left out or null: none. Then nothing
   * of the prompt is taken from the cache or left there, and `maxTokens` may be 0.
   */
  promptLogprobs?: number | null
  constraint: (Constraint & { thinking?: Thinking }) | null
  /** Tell the tokens of finished answers, so that they can be given back as they are; left out: no. */
  tellTokens?: boolean
  /** Use, and leave behind, cached prefixes. */
  cachePrompt: boolean
  /** Part of every cache key: requests with different salts never share cells, in any tier. */
  salt: string
  /** Whose turn it is when prompts compete: API key or address. */
  tenant: string
  /** Higher goes first and is preempted last; 0 by default. */
  priority: number
  /** Chunks on a grid of absolute positions, the last prompt token alone, own decode calls: see docs/design.md. */
  reproducible: boolean
  /** Milliseconds from arrival; null: none. */
  deadlines: { queue: number | null; firstToken: number | null; total: number | null }
}

/** The queue as a request met it on arrival. */
export interface QueueState {
  running: number
  waiting: number
  maxWaiting: number
  /** Prompt tokens of waiting requests. */
  waitingTokens: number
  /** null: no bound. */
  maxWaitingTokens: number | null
}

/** What the engine says about a request on arrival. A value, not a status code: HTTP is only one way in. */
export type Verdict =
  | { kind: 'admitted'; promptTokens: number; queue?: QueueState }
  | {
      kind: 'full'
      retryAfterMs: number
      reason: 'queue' | 'queued_tokens' | 'pool'
      queue?: QueueState
    }
  | { kind: 'tooLong'; promptTokens: number; limit: number }
  | { kind: 'draining'; retryAfterMs: number }
  /** `param` names the field of the GenerationRequest. */
  | { kind: 'invalid'; param: string; message: string }

export interface TokenLogprob {
  token: number
  /** Bytes of the token. */
  bytes: number[]
  logprob: number
  top: Array<{ token: number; bytes: number[]; logprob: number }>
}

/** The first token of a prompt follows nothing: its log probability is null. */
export type PromptLogprob = Omit<TokenLogprob, 'logprob'> & { logprob: number | null }

/** Tokens of the prompt that were not computed, by where they came from. */
export interface CachedTokens {
  resident: number
  ram: number
  disk: number
  /** Why the rest was a miss, where there is a reason to tell. */
  miss?: 'new' | 'evicted' | 'model_changed' | 'salt' | 'below_cost' | 'disabled'
}

export interface RequestUsage {
  promptTokens: number
  /** Sum over choices. */
  completionTokens: number
  cached: CachedTokens
}

/** Milliseconds. */
export interface RequestTimings {
  queueMs: number
  /** First scheduled to last prompt token computed. */
  prefillMs: number
  /** Arrival in the engine to the first token. */
  firstTokenMs: number
  totalMs: number
}

export type FinishReason = 'stop' | 'length'

/** Codes of failures after admission; `docs/errors.md` maps them to HTTP. */
export type FailureCode =
  | 'engine_crashed'
  | 'engine_error'
  | 'queue_timeout'
  | 'first_token_timeout'
  | 'total_timeout'
  | 'draining'
  | 'slow_client'
  | 'constraint_failed'

/** Everything that happens to a request, in order: verdict, started, text..., finish per choice, then end or failed. */
export type RequestEvent =
  | { type: 'verdict'; id: number; verdict: Verdict }
  /** The first step that computes for this request is about to run. */
  | { type: 'started'; id: number; cached: CachedTokens }
  /** Of the prompt's tokens, in order, where they were asked for; `prompt` numbers the prompts of a batch. */
  | { type: 'prompt'; id: number; prompt: number; logprobs: PromptLogprob[]; last: boolean }
  /** New text of one choice. `tokens` were generated for it (0 when a withheld tail is flushed). */
  | { type: 'text'; id: number; choice: number; text: string; tokens: number; logprobs?: TokenLogprob[] }
  /**
   * `stop`: the stop text that ended it, null for an end token. `tokens`: what the text was made of, without an end token;
   * where it was asked for, is no more than 8192, and no stop text cut it.
   */
  | {
      type: 'finish'
      id: number
      choice: number
      reason: FinishReason
      stop: string | null
      tokens?: number[]
    }
  | { type: 'end'; id: number; usage: RequestUsage; timings: RequestTimings }
  | { type: 'failed'; id: number; code: FailureCode; message: string; usage: RequestUsage | null }

export interface PoolStats {
  /** Cells of the pool, and how many hold something (held by requests, or cached and idle). */
  cells: number
  usedCells: number
  /** Of the used ones: cached, attached to no request, free to evict. */
  idleCells: number
  /** Unit of reporting, tokens per block. */
  blockSize: number
  /** Sequence ids: all, and in use. */
  sequenceIds: number
  usedSequenceIds: number
}

/** Counters never decrease while a process lives; gauges say now. */
export interface EngineStats {
  running: number
  waiting: number
  /** Prompt tokens of waiting requests. */
  waitingTokens: number
  pool: PoolStats
  counters: {
    steps: number
    promptTokens: number
    generatedTokens: number
    cachedTokens: { resident: number; ram: number; disk: number }
    evictedCells: number
    /** To RAM, to disk (written), and back into the pool. */
    spilledBytes: number
    diskWrittenBytes: number
    restoredBytes: number
    preemptions: number
    admitted: number
    rejected: { full: number; tooLong: number; draining: number; invalid: number }
    cancelled: number
    failed: number
  }
  /** Milliseconds of the last step, and its rows. */
  lastStep: { ms: number; rows: number }
  /** Milliseconds of all steps. */
  stepTimes: HistogramSnapshot
  /** Bytes of memory that the engine process holds (resident set). */
  memoryBytes: number
  /** Absent while the cache has no tier below the pool. */
  tiers?: Partial<Record<'ram' | 'disk', TierStats>>
  /** What is known of them beside their bytes; absent likewise. */
  store?: StoreFigures
}

/** Bytes. The last two never decrease while a process lives. */
export interface TierStats {
  used: number
  cap: number
  /** Written into this tier. */
  spilled: number
  /** Read back from it. */
  restored: number
}

/** Of the tiers together: how well they serve, and what goes wrong. */
export interface StoreFigures {
  pieces: { ram: number; disk: number }
  /** Pieces brought back, by the tier they came from. */
  hits: { ram: number; disk: number }
  /** Prompts of which nothing more was known, by reason. */
  misses: Record<string, number>
  /** Null: nothing is written to disk. */
  disk: {
    /** This model's part of what all models' files take, bytes. */
    modelBytes: number
    /** By all engines on the folder (UTC), bytes. */
    writtenToday: number
    /** Only what has happened, by kind. */
    faults: Record<string, number>
    /** Writes left out, by reason; likewise. */
    skipped: Record<string, number>
    /** Writing stands still until then, milliseconds since 1970; null: it does not. */
    pausedUntil: number | null
    /** Building the index took so many milliseconds; null: it is not complete yet. */
    indexMs: number | null
  } | null
  /** What decides between restoring and computing. */
  costs: CostFigures
}

export interface EngineConfig {
  model: string
  contextCells: number
  parallel: number
  batchRows: number
  threads: number
  gpuLayers: number | 'auto' | 'all'
  cacheTypeK: string
  cacheTypeV: string
  flashAttention: 'auto' | 'on' | 'off'
  /** How the weights are brought in, see `loadModes`; left out: auto. */
  loadMode?: 'auto' | 'none' | 'mmap' | 'mlock' | 'mmap+mlock'
  /** Whether running streams may be computed on copies of their own on a CPU (lanes.ts); left out: yes. */
  lanes?: boolean
  blockSize: number
  maxQueue: number
  /** Most prompt tokens waiting; null: no bound beside maxQueue. */
  maxQueuedTokens: number | null
  reproducible: boolean
  /** How long a step should take at most while streams decode, milliseconds; left out: 100. */
  targetItlMs?: number
  /** Where prefixes go when they leave the pool; left out: nowhere. */
  tiers?: TierConfig
  /** Check the pool's accounting against the library after every step (tests), not only when idle. */
  checkEveryStep: boolean
}

export interface TierConfig {
  /** Cap of host memory for spilled prefixes, bytes; 0: none, and no disk tier. */
  ramBytes: number
  /** null: nothing is written to disk. */
  disk: {
    folder: string
    capBytes: number
    /** Bytes a day; null: no budget. */
    dailyWriteBytes: number | null
  } | null
}

/** Failures before `ready`. `code` is a BackendError code or `engine_error`. */
export interface LoadFailure {
  code: string
  message: string
}

export type ToEngine =
  | { type: 'submit'; id: number; request: GenerationRequest }
  | { type: 'cancel'; id: number }
  /** The client's socket takes no data: stop decoding this request past a small bound, until `resume`. */
  | { type: 'pause'; id: number }
  | { type: 'resume'; id: number }
  /** A question answered by `reply` with the same `call`. */
  | { type: 'call'; call: number; method: EngineMethod; params: unknown }

/** Params and results of the calls. */
export interface EngineCalls {
  stats: { params: null; result: EngineStats }
  tokenize: { params: { text: string; addSpecial: boolean; parseSpecial: boolean }; result: number[] }
  /** Bytes are joined and decoded as UTF-8; `special` tokens are written out. */
  detokenize: { params: { tokens: number[]; special: boolean }; result: string }
  /** The bytes that each token stands for, special ones written out. */
  pieces: { params: { tokens: number[] }; result: number[][] }
  /** Compares our accounting with the library's; empty list: they agree. */
  check: { params: null; result: string[] }
  /** Forgets every idle cached prefix. */
  clearCache: { params: null; result: { freedCells: number } }
  /** No new work; running requests may finish until the timeout. */
  drain: {
    params: { timeoutMs: number }
    result: { finished: number; aborted: number; spilledBytes: number }
  }
  /** Frees contexts and model, then the process exits 0. */
  shutdown: { params: null; result: null }
}
export type EngineMethod = keyof EngineCalls

export type FromEngine =
  /** 0..1 while tensors are read. */
  | { type: 'progress'; fraction: number }
  | { type: 'ready'; info: ModelInfo; capabilities: Capabilities; config: EngineConfig }
  | { type: 'loadFailed'; failure: LoadFailure }
  | { type: 'events'; events: RequestEvent[] }
  /** Sent at most a few times a second while something changes. */
  | { type: 'stats'; stats: EngineStats }
  | { type: 'reply'; call: number; ok: true; result: unknown }
  | { type: 'reply'; call: number; ok: false; message: string }
