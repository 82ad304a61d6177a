/** The backend of the engine over libllama. */

import {
  type Backend,
  BackendError,
  type Capabilities,
  type DecodeOptions,
  type ModelInfo,
  type Sampler,
  type SamplerParams,
  type Tokenization
} from '../engine/backend.js'
import { cellsInUse, measuredBytesPerCell, type StateSizes } from './accounting.js'
import { isIndex, NativeBatch } from './batch.js'
import { Beside } from './beside.js'
import { decodeFailure } from './decode-failure.js'
import { blobBytes, LanePool } from './lane-pool.js'
import { Lanes } from './lanes.js'
import type { Pointer } from './layout.js'
import type { Functions } from './library.js'
import { type BackendOptions, type LoadedModel, loadModel } from './load.js'
import { LogitsViews } from './logits.js'
import { PromptLane } from './prompt-lane.js'
import { NativeSampler, type SamplerHost } from './sampler.js'
import { Tokenizer } from './tokenizer.js'
import { warmUp } from './warm-up.js'

export type { BackendOptions } from './load.js'

/**
 * Loads a model and creates its context, off the event loop.
 *
 * @param onProgress Called with 0..1 while the weights are read.
 * @throws BackendError with one line that says what is wrong.
 */
export async function loadBackend(
  options: BackendOptions,
  onProgress?: (fraction: number) => void
): Promise<Backend> {
  const backend = new LlamaBackend(await loadModel(options, onProgress))
  try {
    await backend.warmUp()
  } catch (error) {
    backend.dispose()
    throw error
  }
  return backend
}

/** Handing a decode to another thread and back costs 0.2 ms: a tenth of a small model's step (docs/performance.md). */
const SHORT_DECODE_MS = 5
/** Prompts' batches between them tell nothing about the next tokens'. */
const SMALL_DECODE_ROWS = 16

class LlamaBackend implements Backend, SamplerHost {
  readonly info: ModelInfo
  capabilities: Capabilities
  readonly batch: NativeBatch
  readonly functions: Functions
  readonly context: Pointer
  readonly vocabularySize: number
  readonly historyLimit: number
  readonly #model: Pointer
  readonly #memory: Pointer
  readonly #copiesWhole: boolean
  readonly #tokenizer: Tokenizer
  readonly #samplers = new Set<NativeSampler>()
  #sizes: StateSizes | undefined
  #decoding = false
  #lastSmallDecode = { rows: 0, ms: 0 }
  #disposed = false
  #freed = false
  readonly #lanes: Lanes | null
  readonly #promptLane: PromptLane | null
  readonly beside?: Beside
  /** Where the rows of the last decode are; null: in the pool. */
  #rowsIn: Lanes | PromptLane | null = null
  readonly #logits: LogitsViews

  constructor(loaded: LoadedModel) {
    this.info = loaded.info
    this.capabilities = loaded.capabilities
    this.functions = loaded.library.functions
    this.context = loaded.context
    this.vocabularySize = loaded.info.vocabularySize
    this.historyLimit = loaded.capabilities.cellsPerSequence
    this.#model = loaded.model
    this.#memory = loaded.memory
    this.#copiesWhole = loaded.copiesWhole
    const pool = lanePool(loaded)
    const { batchRows } = loaded.capabilities
    this.#lanes = loaded.lanes && new Lanes(pool, loaded.lanes)
    this.#promptLane = loaded.promptLane && new PromptLane(pool, loaded.promptLane, batchRows)
    const { breaks, threads } = loaded
    if (this.#lanes && breaks) this.beside = new Beside(this.functions, this.#lanes, breaks, threads)
    this.#logits = new LogitsViews(this.functions, this.vocabularySize)
    this.#tokenizer = new Tokenizer(this.functions, loaded.vocab, this.vocabularySize)
    this.batch = new NativeBatch({
      rows: this.capabilities.batchRows,
      outputs: this.capabilities.outputRows,
      sequenceIds: this.capabilities.sequenceIds,
      vocabularySize: this.vocabularySize,
      positions: 0x7fffffff
    })
  }

  /** See `warmUp`. Puts what it measured into the capabilities. */
  async warmUp(): Promise<void> {
    const { memory, invariantRows } = this.capabilities
    const measured = await warmUp(this, () => this.#wholeStateBytes(), invariantRows > 0)
    this.batch.computed(0)
    this.#sizes = measured.sizes
    const caches = { attention: 1, hybrid: 1, window: 2, recurrent: 0 }[memory]
    this.capabilities = {
      ...this.capabilities,
      bytesPerCell: caches === 0 ? 0 : measuredBytesPerCell(measured.sizes, caches),
      invariantRows: measured.invariant ? invariantRows : 0,
      ...(measured.smallDecodeMs && { smallDecodeMs: measured.smallDecodeMs })
    }
  }

  /** A step as long as the last one of this many rows, or fewer, would not be worth a change of threads. */
  #isShort(rows: number): boolean {
    return rows <= this.#lastSmallDecode.rows && this.#lastSmallDecode.ms < SHORT_DECODE_MS
  }

  #took(rows: number, ms: number): void {
    if (rows <= SMALL_DECODE_ROWS) this.#lastSmallDecode = { rows, ms }
  }

  /** On this thread, after a turn of the event loop: messages come in between two steps. */
  async #decodeHere(context: Pointer, struct: NativeBatch['struct']): Promise<number> {
    await new Promise(setImmediate)
    const begun = performance.now()
    const code = this.functions.llama_decode(context, struct)
    this.#took(struct.n_tokens, performance.now() - begun)
    return code
  }

  /** On another thread: messages come in meanwhile. */
  async #decodeElsewhere(context: Pointer, struct: NativeBatch['struct']): Promise<number> {
    const begun = performance.now()
    const code = await new Promise<number>((resolve, reject) => {
      this.functions.llama_decode.async(context, struct, (error, result) =>
        error ? reject(error) : resolve(result)
      )
    })
    this.#took(struct.n_tokens, performance.now() - begun)
    return code
  }

  async decode({ lanes = false, prompt, breaks }: DecodeOptions = {}): Promise<'ok' | 'full'> {
    this.#assertIdle()
    const { length } = this.batch
    if (length === 0) throw new BackendError('decode_failed', 'the batch is empty')
    const batch = this.#place(lanes, prompt)
    const context = this.#rowsIn?.context ?? this.context
    const inLanes = this.#rowsIn !== null && this.#rowsIn === this.#lanes
    batch.struct.n_tokens = length
    this.#decoding = true
    this.batch.computed(0)
    // Lanes compute in breaks of others, and have none of their own.
    if (breaks && !inLanes) this.beside?.begin(context, breaks)
    try {
      const here = !breaks && this.#isShort(length)
      const { struct } = batch
      const code = await (here ? this.#decodeHere(context, struct) : this.#decodeElsewhere(context, struct))
      // Before anything is freed: whoever disposed of the backend meanwhile has not waited for this.
      return this.#decoded(code, length)
    } finally {
      this.beside?.end()
      this.#decoding = false
      this.#freeWhenUnused()
    }
  }

  /** @throws BackendError when the library refused the batch for another reason than that the pool is full. */
  #decoded(code: number, length: number): 'ok' | 'full' {
    if (code !== 0) this.#promptLane?.clear()
    if (code === 1 && !this.#rowsIn) return 'full'
    if (code !== 0) throw new BackendError('decode_failed', decodeFailure(code, length))
    if (this.#rowsIn?.computed() === false) return 'full'
    this.batch.computed(length)
    return 'ok'
  }

  /** Where the rows of the batch are computed: in lanes, in the prompt lane, or in the pool, which has all of them then. */
  #place(lanes: boolean, prompt: DecodeOptions['prompt']): NativeBatch {
    const laned = lanes ? this.#lanes?.take(this.batch) : null
    this.#rowsIn = laned ? this.#lanes : null
    if (laned) return laned
    this.#lanes?.settleRows(this.batch)
    const alone = prompt ? this.#promptLane?.take(this.batch, prompt.sequence, prompt.others) : null
    this.#rowsIn = alone ? this.#promptLane : null
    return alone ?? this.batch
  }

  logits(row: number): Float32Array {
    const { context, row: at } = this.drawable(row)
    // Every row in lanes has an output.
    const lanes = this.#lanes
    if (lanes && context === lanes.context) return this.#logits.row(context, at, lanes.count)
    const most = context === this.context ? this.capabilities.outputRows : 1
    return this.#logits.row(context, this.batch.outputIndex(row), most)
  }

  createSampler(params: SamplerParams): Sampler {
    this.#assertAlive()
    const sampler = new NativeSampler(this, params)
    this.#samplers.add(sampler)
    return sampler
  }

  copyRange(from: number, to: number, p0: number, p1: number): void {
    this.#assertSequence(from)
    this.#assertSequence(to)
    if (this.#copiesWhole && !(p0 <= 0 && p1 < 0)) {
      throw new RangeError('this model copies whole sequences only')
    }
    this.#lanes?.settle(from)
    this.#lanes?.settle(to)
    this.#promptLane?.drop(to)
    this.functions.llama_memory_seq_cp(this.#memory, from, to, p0, p1)
  }

  removeRange(sequence: number, p0: number, p1: number): boolean {
    this.#assertSequence(sequence)
    this.#promptLane?.drop(sequence)
    if (p0 <= 0 && p1 < 0) this.#lanes?.drop(sequence)
    else this.#lanes?.settle(sequence)
    return this.functions.llama_memory_seq_rm(this.#memory, sequence, p0, p1)
  }

  minPosition(sequence: number): number {
    this.#assertSequence(sequence)
    return this.functions.llama_memory_seq_pos_min(this.#memory, sequence)
  }

  maxPosition(sequence: number): number {
    this.#assertSequence(sequence)
    const length = this.#lanes?.lengthOf(sequence)
    return length === undefined ? this.functions.llama_memory_seq_pos_max(this.#memory, sequence) : length - 1
  }

  usedCells(): number {
    this.#assertIdle()
    if (this.capabilities.memory !== 'attention' || !this.#sizes) return -1
    this.#lanes?.settleAll()
    const sequences: number[] = []
    for (let sequence = 0; sequence < this.capabilities.sequenceIds; sequence++) {
      if (this.maxPosition(sequence) >= 0) sequences.push(this.stateBytes(sequence))
    }
    return cellsInUse(this.#sizes, this.#wholeStateBytes(), sequences)
  }

  stateBytes(sequence: number): number {
    this.#assertSequence(sequence)
    this.#lanes?.settle(sequence)
    return Number(this.functions.llama_state_seq_get_size(this.context, sequence))
  }

  saveState(sequence: number, into: Uint8Array): number {
    this.#assertSequence(sequence)
    this.#lanes?.settle(sequence)
    return Number(this.functions.llama_state_seq_get_data(this.context, into, into.byteLength, sequence))
  }

  restoreState(sequence: number, from: Uint8Array): number {
    if (this.maxPosition(sequence) >= 0) {
      throw new RangeError(`sequence ${sequence} is not empty`)
    }
    const read = Number(
      this.functions.llama_state_seq_set_data(this.context, from, from.byteLength, sequence)
    )
    if (read === 0) this.functions.llama_memory_seq_rm(this.#memory, sequence, -1, -1)
    return read
  }

  async tokenize(text: string, options: Tokenization): Promise<Int32Array> {
    this.#assertAlive()
    try {
      return await this.#tokenizer.tokenize(text, options)
    } finally {
      this.#freeWhenUnused()
    }
  }

  piece(token: number, special = false): Uint8Array {
    this.#assertAlive()
    return this.#tokenizer.piece(token, special)
  }

  isEndOfGeneration(token: number): boolean {
    this.#assertAlive()
    return this.#tokenizer.isEndOfGeneration(token)
  }

  dispose(): void {
    this.#disposed = true
    this.#freeWhenUnused()
  }

  /** For samplers: outputs may be read, and row `row` has one. */
  drawable(row: number): { context: Pointer; row: number } {
    if (this.beside?.computed && this.#lanes)
      return { context: this.#lanes.context, row: this.#lanes.rowOf(row) }
    this.#assertIdle()
    this.batch.outputIndex(row)
    const lanes = this.#rowsIn
    return { context: lanes?.context ?? this.context, row: lanes instanceof Lanes ? lanes.rowOf(row) : row }
  }

  released(sampler: NativeSampler): void {
    this.#samplers.delete(sampler)
  }

  #wholeStateBytes(): number {
    return Number(this.functions.llama_state_get_size(this.context))
  }

  #assertAlive(): void {
    if (this.#disposed) throw new Error('the backend has been disposed of')
  }

  #assertIdle(): void {
    this.#assertAlive()
    if (this.#decoding) throw new Error('a decode is running')
  }

  /** An id out of range makes the library abort. */
  #assertSequence(sequence: number): void {
    this.#assertIdle()
    if (!isIndex(sequence, this.capabilities.sequenceIds)) throw new RangeError(`no sequence id ${sequence}`)
  }

  /** Frees everything once no other thread uses it any more. */
  #freeWhenUnused(): void {
    if (!this.#disposed || this.#freed || this.#decoding || this.#tokenizer.inFlight > 0) return
    this.#freed = true
    for (const sampler of [...this.#samplers]) sampler.free()
    this.#lanes?.free()
    this.#promptLane?.free()
    this.beside?.free()
    this.functions.llama_free(this.context)
    this.functions.llama_model_free(this.#model)
    this.batch.free()
  }
}

/** Lanes write back through the highest sequence id, which the capabilities do not tell of. */
function lanePool({
  library,
  context,
  memory,
  info,
  capabilities,
  lanes,
  promptLane
}: LoadedModel): LanePool {
  const { bytesPerCell, sequenceIds } = capabilities
  const cells = Math.max(lanes?.cells ?? 0, promptLane?.cells ?? 0)
  return new LanePool({
    functions: library.functions,
    context,
    memory,
    scratch: sequenceIds,
    vocabularySize: info.vocabularySize,
    blob: new Uint8Array(cells === 0 ? 0 : blobBytes(cells, bytesPerCell, lanes?.count ?? 0))
  })
}
