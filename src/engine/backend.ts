/**
 * What the scheduler and the prefix cache see of a model runtime. `src/llama` implements it over libllama; the tests
 * implement it as a simulation. Nothing here knows a pointer.
 *
 * A *cell* holds the keys and values of one token at one position. A *sequence id* names a set of cells; with
 * `sharesCells` a cell may belong to several ids at once, which is how prefixes are shared without copying.
 */

/** What a backend can do, and how much of it. Fixed once the context exists. */
export interface Capabilities {
  /** `unified`: all sequences share one pool of cells. `split`: each sequence id owns a fixed part of it. */
  layout: 'unified' | 'split'
  /** `copyRange` makes cells shared between two ids, without copying data. */
  sharesCells: boolean
  /** State blobs of neighbouring ranges, restored into different ids, can be joined into one sequence by `copyRange`. */
  joinsBlobs: boolean
  /**
   * How the model remembers. `attention`: every position is a cell, any range may be copied, cut or restored.
   * `window`: some layers keep a sliding window. `recurrent` and `hybrid`: (some of) the memory is a running state that
   * exists only at the sequence's last position.
   */
  memory: 'attention' | 'window' | 'recurrent' | 'hybrid'
  /** Sliding window in tokens; 0 when the model has none. */
  window: number
  /** Cells of the whole pool. */
  cells: number
  /** Most cells that one sequence may use: min(pool or its split part, the model's training context). */
  cellsPerSequence: number
  /** Sequence ids are 0 .. sequenceIds-1. */
  sequenceIds: number
  /** Most rows in one `decode`. */
  batchRows: number
  /** Most rows with an output in one `decode`. */
  outputRows: number
  /**
   * In batches of at most this many rows a row's result depends neither on the other rows, nor on how a prompt is cut,
   * nor on which cells are used: bit for bit. 0 where that does not hold. (CPU with flash attention and fewer than 64
   * rows: measured, docs/performance.md.)
   */
  invariantRows: number
  /**
   * Milliseconds of a decode of 1, 2, 3, ... rows, each of another sequence, as measured when the model was loaded. Left
   * out where a larger batch costs less per row, as is usual.
   */
  smallDecodeMs?: readonly number[]
  /**
   * Streams of fewer tokens than this are decoded on copies of their own when they may be (`decode`), and then cost
   * nothing for what else is in the pool. Left out: there are no such copies.
   */
  laneCells?: number
  /** The same for a prompt of at most so many tokens that is the only one in its batch. */
  promptLaneCells?: number
  /** Bytes of keys and values that one cell takes, all layers together (an average where layers differ). */
  bytesPerCell: number
}

/** What is known about the loaded model. */
export interface ModelInfo {
  /** Absolute path of the GGUF file. */
  path: string
  /** `general.name` of the file, or its base name. */
  name: string
  /** llama.cpp's one-line description, e.g. `minimind 26M Q8_0`. */
  description: string
  architecture: string
  parameters: number
  /** Size of all tensors, bytes. */
  bytes: number
  trainingContext: number
  embeddingLength: number
  vocabularySize: number
  /** `tokenizer.chat_template` (null when the model has none). */
  chatTemplate: string | null
  /** Text of the special tokens, '' when the vocabulary has none. */
  bosText: string
  eosText: string
  /** Whether the tokenizer is meant to put a BOS token in front of a prompt. */
  addsBos: boolean
  /** `tokenizer.ggml.model`: gpt2 (byte level BPE), llama (SPM), bert, ... */
  tokenizer: string
  /** Where the model computes, e.g. `CPU`, `Metal: Apple M3`, `CUDA: NVIDIA H200`. */
  device: string
  /** Version string of the llama.cpp library. */
  libraryVersion: string
  /** Identifies everything a stored cell depends on: model file, KV types, layout, flash attention, library. Hex. */
  fingerprint: string
}

export interface SamplerParams {
  /** 0 means greedy: the most likely token, ties to the lowest id. */
  temperature: number
  /** 0 means no limit (a generous limit is applied before top_p all the same, see docs/performance.md). */
  topK: number
  topP: number
  minP: number
  /** llama.cpp's repetition penalty; 1 means none. */
  repeatPenalty: number
  /** How many last tokens the penalties look at; -1 means all of the context. */
  repeatLastN: number
  frequencyPenalty: number
  presencePenalty: number
  /** 32 bits, unsigned. Always given: whoever makes the request draws one when the client sent none. */
  seed: number
  /** Added to the logits before anything else; -Infinity is written as null over JSON. */
  logitBias: Array<{ token: number; bias: number | null }>
}

/** The random state and history of one stream. */
export interface Sampler {
  /** Draws from output row `row` of the last decode (the number `Batch.add` returned) and accepts the token. */
  sample(row: number): number
  /** Accepts a token that was not drawn here (a prompt token, a token chosen by a constraint). */
  accept(token: number): void
  free(): void
}

/** The rows of the next decode. Lives in native memory; reused every step. */
export interface Batch {
  /** Most rows: Capabilities.batchRows. */
  readonly capacity: number
  readonly length: number
  clear(): void
  /**
   * Adds one token. Returns its row number, to be used with `Sampler.sample` and `logits` when `output` is set.
   * @throws RangeError when the batch, or its outputs, are full, or the sequence id is out of range.
   */
  add(token: number, position: number, sequence: number, output: boolean): number
}

export interface Tokenization {
  /** Put the model's BOS (and EOS, SEP where the vocabulary asks) around the text. */
  addSpecial: boolean
  /** Read special tokens such as `<|im_end|>` in the text as such. */
  parseSpecial: boolean
}

export interface DecodeOptions {
  /**
   * The rows are the next tokens of running streams: a backend may compute them on copies of its own, see
   * `Capabilities.laneCells`.
   */
  lanes?: boolean
  /**
   * The rows of one prompt, which does not look at `others` cells of the pool: a backend may compute them on a copy of
   * this sequence. Rows of another one are thrown away afterwards.
   */
  prompt?: { sequence: number; others: number }
  /** Without `Backend.beside` there are none. */
  breaks?: DecodeBreaks
}

/** Breaks of a decode, between two of its operations: it computes nothing until `take` returns. */
export interface DecodeBreaks {
  /** The first one comes after so many milliseconds, if the decode takes that long. */
  after: number
  /** Called on this thread in each break. Must not throw. Returns the milliseconds until the next one. */
  take: () => number
}

/** The next token of a stream, whose logits are wanted. */
export interface NextToken {
  token: number
  position: number
  sequence: number
}

/** Computes next tokens in a break of another decode (`DecodeOptions.breaks`), and only there. */
export interface BesideDecoder {
  /** Whether the token at this position can be computed beside a decode that the sequence has no part in. */
  takes(sequence: number, position: number): boolean
  /**
   * Computes next tokens of different sequences, on this thread. Until the break ends, or the next call, their row
   * numbers (0, 1, ... in this order) are those of `logits` and `Sampler.sample`.
   * @throws BackendError when the library refuses them.
   */
  compute(rows: readonly NextToken[]): void
}

export interface Backend {
  readonly info: ModelInfo
  readonly capabilities: Capabilities
  readonly batch: Batch

  /**
   * Computes the batch. Resolves off the event loop: messages come in meanwhile, but nothing else of this backend
   * except `tokenize` and `piece` may be called until it settles.
   * @returns `ok`, or `full` when there are not enough free cells (then nothing has changed).
   * @throws BackendError when the library refuses the batch.
   */
  decode(options?: DecodeOptions): Promise<'ok' | 'full'>

  /** Left out: a decode has no breaks. */
  readonly beside?: BesideDecoder

  /** Logits of an output row of the last decode: [vocabularySize] floats, writable, valid until the next decode. */
  logits(row: number): Float32Array
  createSampler(params: SamplerParams): Sampler

  /** Makes the cells of `from` at positions [p0, p1) belong to `to` as well. No copy of data when `sharesCells`. */
  copyRange(from: number, to: number, p0: number, p1: number): void
  /** Takes positions [p0, p1) away from a sequence; p1 = -1 means to its end. False when only a part was asked and the memory cannot be cut there. */
  removeRange(sequence: number, p0: number, p1: number): boolean
  /** First and last position of a sequence; -1 when it is empty. */
  minPosition(sequence: number): number
  maxPosition(sequence: number): number

  /**
   * Cells that hold something by the library's own account, however many sequences share them; -1 where it cannot be
   * told. From the size of the whole context's state: llama_state_get_size minus its fixed part, of which every cell takes
   * position + count + 4 bytes per sequence id + its rows. May take milliseconds: for checks, not for every step.
   */
  usedCells(): number

  /** Bytes that `saveState` needs for this sequence now. */
  stateBytes(sequence: number): number
  /** Writes the sequence's cells into `into`. Returns the bytes written; 0 when `into` is too small. */
  saveState(sequence: number, into: Uint8Array): number
  /**
   * Replaces what an **empty** sequence holds by a saved state. Returns the bytes read, 0 when refused (damaged, or no
   * room; then the sequence is empty). Flipped bits are not noticed here: the caller keeps a checksum.
   */
  restoreState(sequence: number, from: Uint8Array): number

  /** Runs on another thread; may overlap with `decode`. */
  tokenize(text: string, options: Tokenization): Promise<Int32Array>
  /** The bytes a token stands for; control tokens give an empty array unless `special` is set. Cached. */
  piece(token: number, special?: boolean): Uint8Array
  isEndOfGeneration(token: number): boolean

  /** Frees context and model. Nothing may be called afterwards. */
  dispose(): void
}

/** The library refused, or could not do, what it was asked. */
export class BackendError extends Error {
  constructor(
    /** `load_failed`, `context_failed`, `decode_failed`, `layout_mismatch`, `library_missing`, `vocabulary_only`, `out_of_memory`. */
    readonly code: string,
    message: string
  ) {
    super(message)
    this.name = 'BackendError'
  }
}
