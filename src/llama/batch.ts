import type { Batch } from '../engine/backend.js'
import koffi from './ffi.js'
import type { Pointer, StructValue } from './layout.js'

/** Limits that `add` keeps, because the library aborts the process beyond them. */
export interface BatchLimits {
  rows: number
  outputs: number
  sequenceIds: number
  vocabularySize: number
  /** Positions are 0 .. positions-1. */
  positions: number
}

/** The rows of one decode in native memory: five arrays allocated once, written through typed arrays. */
export class NativeBatch implements Batch {
  readonly capacity: number
  /** What `llama_decode` takes by value; the arrays behind it never move. */
  readonly struct: StructValue<'llama_batch'>
  #length = 0
  #outputs = 0
  readonly #limits: BatchLimits
  readonly #blocks: Pointer[] = []
  readonly #tokens: Int32Array
  readonly #positions: Int32Array
  readonly #sequences: Int32Array
  readonly #wanted: Int8Array
  /** Output index of each row in the logits, -1 for a row without output. */
  readonly #outputIndex: Int32Array
  /** The same of the rows that were computed last: rows of the next decode may be added before they are read. */
  readonly #computedIndex: Int32Array
  #computedLength = 0

  constructor(limits: BatchLimits) {
    const rows = limits.rows
    this.capacity = rows
    this.#limits = limits
    const token = this.#allocate('int32', rows)
    const pos = this.#allocate('int32', rows)
    const counts = this.#allocate('int32', rows)
    const sequence = this.#allocate('int32', rows)
    const pointers = this.#allocate('uint64', rows)
    const logits = this.#allocate('int8', rows)
    this.#tokens = new Int32Array(koffi.view(token, rows * 4))
    this.#positions = new Int32Array(koffi.view(pos, rows * 4))
    this.#sequences = new Int32Array(koffi.view(sequence, rows * 4))
    this.#wanted = new Int8Array(koffi.view(logits, rows))
    this.#outputIndex = new Int32Array(rows)
    this.#computedIndex = new Int32Array(rows)
    // One sequence id per row: sharing is done by copyRange. `seq_id` holds one address per row.
    new Int32Array(koffi.view(counts, rows * 4)).fill(1)
    const addresses = new BigUint64Array(koffi.view(pointers, rows * 8))
    const first = koffi.address(sequence)
    for (let row = 0; row < rows; row++) addresses[row] = first + BigInt(row * 4)
    this.struct = { n_tokens: 0, token, embd: null, pos, n_seq_id: counts, seq_id: pointers, logits }
  }

  get length(): number {
    return this.#length
  }

  clear(): void {
    this.#length = 0
    this.#outputs = 0
  }

  add(token: number, position: number, sequence: number, output: boolean): number {
    const row = this.#length
    const limits = this.#limits
    if (row >= this.capacity) throw new RangeError(`the batch is full (${this.capacity} rows)`)
    if (output && this.#outputs >= limits.outputs) {
      throw new RangeError(`the batch has all the outputs it may have (${limits.outputs})`)
    }
    if (!isIndex(sequence, limits.sequenceIds)) throw new RangeError(`no sequence id ${sequence}`)
    if (!isIndex(token, limits.vocabularySize)) throw new RangeError(`no token ${token}`)
    if (!isIndex(position, limits.positions)) throw new RangeError(`no position ${position}`)
    this.#tokens[row] = token
    this.#positions[row] = position
    this.#sequences[row] = sequence
    this.#wanted[row] = output ? 1 : 0
    this.#outputIndex[row] = output ? this.#outputs++ : -1
    this.#length = row + 1
    return row
  }

  /** What was added as this row. */
  row(row: number): { token: number; position: number; sequence: number; output: boolean } {
    return {
      token: this.#tokens[row] as number,
      position: this.#positions[row] as number,
      sequence: this.#sequences[row] as number,
      output: this.#wanted[row] === 1
    }
  }

  /** The rows have been computed: `outputIndex` is about them from now on. 0 rows: about none. */
  computed(rows: number): void {
    this.#computedIndex.set(this.#outputIndex.subarray(0, rows))
    this.#computedLength = rows
  }

  /**
   * The place of a computed row's logits among the outputs.
   * @throws RangeError for a row that has no output.
   */
  outputIndex(row: number): number {
    const index = isIndex(row, this.#computedLength) ? this.#computedIndex[row]! : -1
    if (index < 0) throw new RangeError(`row ${row} has no output`)
    return index
  }

  free(): void {
    for (const block of this.#blocks.splice(0)) koffi.free(block)
  }

  #allocate(type: string, length: number): Pointer {
    const block = koffi.alloc(type, length)
    this.#blocks.push(block)
    return block
  }
}

/** Whether `value` is an integer in 0 .. limit-1. */
export function isIndex(value: number, limit: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < limit
}
