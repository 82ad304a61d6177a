import { BackendError, type NextToken } from '../engine/backend.js'
import { NativeBatch } from './batch.js'
import { type CopyLimits, copyCells, type LanePool, WORD } from './lane-pool.js'
import type { Pointer } from './layout.js'

/** A context with one buffer of cells per sequence, beside the pool. */
export interface LaneContext {
  context: Pointer
  memory: Pointer
  /** How many sequences it holds at once. */
  count: number
  /** Cells of each. */
  cells: number
}

/** Sequence `sequence` of the pool, continued in lane `index`. */
interface Lane {
  index: number
  sequence: number
  /** Its tokens from here on are in the lane only. */
  from: number
  length: number
}

/**
 * What all lanes may take together: models with larger cells spend their time elsewhere. Longer sequences stay in the
 * pool; so do all where lanes would be shorter than the least.
 */
const LIMITS: CopyLimits = { mostBytes: 256 * 1024 * 1024, mostCells: 4096, leastCells: 512 }

/** Cells of each of `count` lanes; 0: there are none. */
export function laneCells(count: number, bytesPerCell: number, longest: number): number {
  return copyCells({ ...LIMITS, mostBytes: LIMITS.mostBytes / count }, bytesPerCell, longest)
}

/** Bytes that the lanes take. */
export function laneBytes(count: number, bytesPerCell: number, longest: number): number {
  return count * laneCells(count, bytesPerCell, longest) * bytesPerCell
}

/** Bytes of a saved sequence before its cells: magic, sequence id, number of streams, number of cells. */
const HEADER = 16
const STREAMS_AT = 8

/**
 * Running sequences' private copies. In the pool every row of a decode looks at the mask of every cell up to the highest
 * used one, which on a CPU makes 16 unrelated streams a sixth slower at 200 tokens each and nearly twice as slow at 1,000
 * (docs/performance.md). So the next tokens of several streams are computed in a context that has a buffer for each: the
 * cells of a sequence are copied there when it joins, what it generates stays there, and is copied into the pool when
 * anyone looks at that sequence of the pool. Nobody above the binding notices: the pool's cells are counted as if every
 * token were in them.
 */
export class Lanes {
  readonly context: Pointer
  readonly #pool: LanePool
  readonly #lanes: LaneContext
  readonly #batch: NativeBatch
  readonly #bySequence = new Map<number, Lane>()
  readonly #byIndex: Array<Lane | undefined>
  /** The library did not move a sequence here: it will not move the next one either. */
  #useless = false
  /** Of the rows of the last decode here, in the order of the pool's batch. */
  #rows: number[] = []

  constructor(pool: LanePool, lanes: LaneContext) {
    this.context = lanes.context
    this.#pool = pool
    this.#lanes = lanes
    this.#byIndex = new Array(lanes.count).fill(undefined)
    this.#batch = new NativeBatch({
      rows: lanes.count,
      outputs: lanes.count,
      sequenceIds: lanes.count,
      vocabularySize: pool.vocabularySize,
      positions: lanes.cells
    })
  }

  /**
   * Puts the rows of a batch into lanes, if they are one next token each of sequences that fit.
   * @returns the batch to be decoded in `context`; null: they have to be computed in the pool (see `settleRows`).
   */
  take(batch: NativeBatch): NativeBatch | null {
    const { count, cells } = this.#lanes
    const rows = Array.from({ length: batch.length }, (_, row) => batch.row(row))
    const sequences = new Set(rows.map(row => row.sequence))
    const fit = rows.every(row => row.output && row.position > 0 && row.position < cells)
    if (this.#useless || !fit || rows.length > count || sequences.size < rows.length) return null
    for (const { sequence, position } of rows) {
      const lane = this.#bySequence.get(sequence)
      if (lane?.length === position) continue
      this.settle(sequence)
      if (!this.#join(sequence, position, sequences)) return null
    }
    return this.#fill(rows)
  }

  /** Whether the next token of this sequence, at this position, can be computed without a look at the pool. */
  holds(sequence: number, position: number): boolean {
    return this.lengthOf(sequence) === position && position < this.#lanes.cells
  }

  /**
   * The same as `take` for sequences that are in lanes.
   * @throws RangeError when one is not (`holds`).
   */
  next(rows: readonly NextToken[]): NativeBatch {
    for (const { sequence, position } of rows)
      if (!this.holds(sequence, position)) throw new RangeError(`sequence ${sequence} is in no lane`)
    return this.#fill(rows)
  }

  #fill(rows: readonly NextToken[]): NativeBatch {
    this.#closeGaps(new Set(rows.map(row => row.sequence)))
    // The library computes rows together only in the order of their lanes, and without a gap between these.
    const order = rows
      .map((row, at) => ({ row, at, lane: this.#bySequence.get(row.sequence) as Lane }))
      .sort((a, b) => a.lane.index - b.lane.index)
    this.#rows = new Array(rows.length)
    this.#batch.clear()
    for (const { row, at, lane } of order)
      this.#rows[at] = this.#batch.add(row.token, row.position, lane.index, true)
    return this.#batch
  }

  /** The rows that `take` gave have been computed. */
  computed(): void {
    for (let row = 0; row < this.#batch.length; row++) {
      const lane = this.#byIndex[this.#batch.row(row).sequence] as Lane
      lane.length++
    }
  }

  get count(): number {
    return this.#lanes.count
  }

  /** Row of the lanes' batch for a row of the pool's, or of `next`. @throws RangeError when there is none. */
  rowOf(row: number): number {
    const own = this.#rows[row]
    if (own === undefined) throw new RangeError(`no row ${row} in lanes`)
    return own
  }

  /** Position after the last token of a sequence that is in a lane; undefined: it is not. */
  lengthOf(sequence: number): number | undefined {
    return this.#bySequence.get(sequence)?.length
  }

  /** The pool holds all of this sequence afterwards. */
  settle(sequence: number): void {
    const lane = this.#bySequence.get(sequence)
    if (!lane) return
    if (lane.length > lane.from) this.#writeBack(lane)
    this.#leave(lane)
  }

  /** The pool holds all sequences of this batch afterwards: it can be decoded there. */
  settleRows(batch: NativeBatch): void {
    for (let row = 0; row < batch.length && this.#bySequence.size > 0; row++)
      this.settle(batch.row(row).sequence)
  }

  settleAll(): void {
    for (const sequence of [...this.#bySequence.keys()]) this.settle(sequence)
  }

  /** Nobody wants this sequence any more. */
  drop(sequence: number): void {
    const lane = this.#bySequence.get(sequence)
    if (lane) this.#leave(lane)
  }

  free(): void {
    this.#pool.functions.llama_free(this.context)
    this.#batch.free()
  }

  /** Copies a sequence of the pool, of `length` tokens, into a lane. False: there is none for it. */
  #join(sequence: number, length: number, wanted: ReadonlySet<number>): boolean {
    const { functions: f, blob } = this.#pool
    const { context, memory, count } = this.#lanes
    if (!this.#pool.holds(sequence, length)) return false
    const index = this.#freeLane(wanted)
    if (index < 0) return false
    const bytes = this.#pool.save(sequence)
    const padded = bytes + (count - 1) * WORD
    if (bytes < HEADER || padded > blob.length) return this.#giveUp()
    // The cells are told as the first stream's; all further ones have none.
    new DataView(blob.buffer).setUint32(STREAMS_AT, count, true)
    blob.fill(0, bytes, padded)
    const read = Number(f.llama_state_seq_set_data(context, blob, padded, index))
    if (read === 0 || f.llama_memory_seq_pos_max(memory, index) !== length - 1) {
      f.llama_memory_seq_rm(memory, index, -1, -1)
      return this.#giveUp()
    }
    const lane = { index, sequence, from: length, length }
    this.#bySequence.set(sequence, lane)
    this.#byIndex[index] = lane
    return true
  }

  #giveUp(): false {
    this.#useless = true
    return false
  }

  /** The lowest free one; where there is none, one whose sequence is not wanted now. -1: all are. */
  #freeLane(wanted: ReadonlySet<number>): number {
    const free = this.#byIndex.indexOf(undefined)
    if (free >= 0) return free
    const idle = this.#byIndex.find(lane => lane && !wanted.has(lane.sequence))
    if (!idle) return -1
    this.settle(idle.sequence)
    return idle.index
  }

  /** @throws BackendError when the pool does not take them: its accounting has room for them. */
  #writeBack({ index, sequence, from, length }: Lane): void {
    const { functions: f, blob } = this.#pool
    const { context, memory, count } = this.#lanes
    f.llama_memory_seq_rm(memory, index, 0, from)
    const bytes = this.#pool.save(index, context)
    const others = (count - 1) * WORD
    // As many empty streams stand before the cells as lanes: the header moves up to them.
    const start = index * WORD
    blob.copyWithin(start, 0, STREAMS_AT)
    new DataView(blob.buffer).setUint32(start + STREAMS_AT, 1, true)
    const saved = blob.subarray(start, start + Math.max(0, bytes - others))
    if (!this.#pool.take(saved, sequence, from, length))
      throw new BackendError('decode_failed', `the pool did not take positions ${from}..${length} back`)
  }

  /** Sequences in the highest lanes move into free lower ones. */
  #closeGaps(wanted: ReadonlySet<number>): void {
    const { functions: f, blob } = this.#pool
    const { context, memory } = this.#lanes
    for (;;) {
      const free = this.#byIndex.indexOf(undefined)
      const last = this.#byIndex.findLast(lane => lane && wanted.has(lane.sequence))
      if (!last || free < 0 || free > last.index) return
      const bytes = this.#pool.save(last.index, context)
      const read = Number(f.llama_state_seq_set_data(context, blob.subarray(0, bytes), bytes, free))
      // Rows with a gap between them are computed all the same, only in two parts.
      if (read === 0) return
      f.llama_memory_seq_rm(memory, last.index, -1, -1)
      this.#byIndex[last.index] = undefined
      this.#byIndex[free] = last
      last.index = free
    }
  }

  /** The lane is free. */
  #leave(lane: Lane): void {
    this.#bySequence.delete(lane.sequence)
    this.#byIndex[lane.index] = undefined
    this.#pool.functions.llama_memory_seq_rm(this.#lanes.memory, lane.index, -1, -1)
  }
}
