import type { Pointer } from './layout.js'
import type { Functions } from './library.js'

export interface LanePoolOptions {
  functions: Functions
  context: Pointer
  memory: Pointer
  /** A sequence id of the pool that nobody else uses. */
  scratch: number
  vocabularySize: number
  /** Room for one saved sequence; touched once, since fresh pages cost more than what is copied into them. */
  blob: Uint8Array
}

/** The pool as those see it that compute on copies of its sequences: lanes and the prompt lane. */
export class LanePool {
  readonly functions: Functions
  readonly vocabularySize: number
  readonly blob: Uint8Array
  readonly #context: Pointer
  readonly #memory: Pointer
  readonly #scratch: number

  constructor({ functions, context, memory, scratch, vocabularySize, blob }: LanePoolOptions) {
    this.functions = functions
    this.vocabularySize = vocabularySize
    this.blob = blob
    this.#context = context
    this.#memory = memory
    this.#scratch = scratch
  }

  /** Whether a sequence is positions 0 to `length` - 1 here. */
  holds(sequence: number, length: number): boolean {
    const { functions: f } = this
    if (f.llama_memory_seq_pos_min(this.#memory, sequence) !== 0) return false
    return f.llama_memory_seq_pos_max(this.#memory, sequence) === length - 1
  }

  /** Puts a sequence of the pool, or of another context, into `blob`. Returns its bytes; 0: it has no room there. */
  save(sequence: number, context: Pointer = this.#context): number {
    const { functions: f, blob } = this
    return Number(f.llama_state_seq_get_data(context, blob, blob.length, sequence))
  }

  /**
   * Continues a sequence of the pool, `from` tokens long, by what was saved of a copy of it: its positions up to `length`.
   * @returns false when the pool has no room: then nothing has changed.
   */
  take(saved: Uint8Array, sequence: number, from: number, length: number): boolean {
    const { functions: f } = this
    const scratch = this.#scratch
    const bytes = saved.length
    const read = bytes === 0 ? 0 : Number(f.llama_state_seq_set_data(this.#context, saved, bytes, scratch))
    const taken = read > 0 && f.llama_memory_seq_pos_max(this.#memory, scratch) === length - 1
    if (taken) f.llama_memory_seq_cp(this.#memory, scratch, sequence, from, length)
    f.llama_memory_seq_rm(this.#memory, scratch, -1, -1)
    return taken
  }
}

/** What copies may take. */
export interface CopyLimits {
  mostBytes: number
  mostCells: number
  /** Fewer are of no use. */
  leastCells: number
}

/** Cells for one copy, in whole units of the library; 0: they would be too few. */
export function copyCells(
  { mostBytes, mostCells, leastCells }: CopyLimits,
  bytesPerCell: number,
  longest: number
): number {
  const affordable = Math.floor(mostBytes / bytesPerCell)
  const cells = Math.min(mostCells, affordable, Math.ceil(longest / UNIT) * UNIT)
  return cells < leastCells ? 0 : cells - (cells % UNIT)
}

/** The library rounds cells up to these. */
const UNIT = 256

/** Bytes that a saved sequence of so many cells takes, at most, and as many words as there are lanes. */
export function blobBytes(cells: number, bytesPerCell: number, lanes: number): number {
  return cells * (bytesPerCell + META_PER_CELL) + lanes * WORD + META
}

/** Of numbers in a saved sequence. */
export const WORD = 4
/** Generous: per cell the position, a count and a sequence id; per layer its types and sizes. */
const META_PER_CELL = 32
const META = 64 * 1024
