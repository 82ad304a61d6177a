import { NativeBatch } from './batch.js'
import { type CopyLimits, copyCells, type LanePool } from './lane-pool.js'
import type { Pointer } from './layout.js'

/** A context for one sequence at a time, beside the pool. */
export interface PromptLaneContext {
  context: Pointer
  memory: Pointer
  cells: number
}

/** Of the lane, and so of the prompts it is for. */
const LIMITS: CopyLimits = { mostBytes: 64 * 1024 * 1024, mostCells: 8192, leastCells: 1024 }

/** Cells of the lane; 0: there is none. */
export function promptLaneCells(bytesPerCell: number, longest: number): number {
  return copyCells(LIMITS, bytesPerCell, longest)
}

/** Bytes that the lane takes. @param fixed what a context takes besides its cells. */
export function promptLaneBytes(bytesPerCell: number, longest: number, fixed: number): number {
  const cells = promptLaneCells(bytesPerCell, longest)
  return cells === 0 ? 0 : cells * bytesPerCell + fixed
}

export const promptLaneSequences = 3
/** The copy, what passes to the pool, and rows that are thrown away. */
const [COPY, PASSING, PADDING] = [0, 1, 2]

/**
 * A copied token should save looking at the masks of so many cells of others, in one row each. It costs as much as 25 of
 * them, 2 microseconds to 0.08 (docs/performance.md), and a copy is not in the caches.
 */
const WORTH = 100

/**
 * A prompt that continues below many cells of other streams is computed on a copy of its own: in the pool each of its
 * rows looks at the mask of every cell, which costs a quarter of the time beside three agents (docs/performance.md). What
 * it computes is copied into the pool at once; the copy stays for the next chunk.
 */
export class PromptLane {
  readonly context: Pointer
  readonly #batch: NativeBatch
  /** Sequence of the pool that is copied, and how many of its tokens. */
  #sequence = -1
  #length = 0
  #from = 0

  constructor(
    private readonly pool: LanePool,
    private readonly lane: PromptLaneContext,
    rows: number
  ) {
    this.context = lane.context
    this.#batch = new NativeBatch({
      rows,
      outputs: 1,
      sequenceIds: promptLaneSequences,
      vocabularySize: pool.vocabularySize,
      positions: lane.cells
    })
  }

  /**
   * The rows of a batch, if it pays to compute them here.
   * @param sequence whose rows they are; those of another are thrown away.
   * @param others cells of the pool that hold something else.
   * @returns the batch to be decoded in `context`, row by row the same; null: it has to be computed in the pool.
   */
  take(batch: NativeBatch, sequence: number, others: number): NativeBatch | null {
    const rows = Array.from({ length: batch.length }, (_, row) => batch.row(row))
    const own = rows.filter(row => row.sequence === sequence)
    const from = own[0]?.position ?? 0
    const end = from + own.length
    const resident = this.#sequence === sequence && this.#length === from
    const copies = resident ? 0 : from
    if (end + rows.length > this.lane.cells || rows.filter(row => row.output).length > 1) return null
    if (own.length * others < WORTH * (copies + own.length)) return null
    if (!resident && !this.#load(sequence, from)) return null
    this.#from = from
    this.#length = end
    this.#batch.clear()
    for (const { token, position, sequence: of, output } of rows)
      this.#batch.add(token, position, of === sequence ? COPY : PADDING, output)
    return this.#batch
  }

  /**
   * The rows that `take` gave have been computed; the pool gets them.
   * @returns false when it has no room: then nothing has changed there.
   */
  computed(): boolean {
    const { functions: f, blob } = this.pool
    const { context, memory } = this.lane
    f.llama_memory_seq_rm(memory, PADDING, -1, -1)
    f.llama_memory_seq_cp(memory, COPY, PASSING, this.#from, this.#length)
    const bytes = this.pool.save(PASSING, context)
    f.llama_memory_seq_rm(memory, PASSING, -1, -1)
    const taken = this.pool.take(blob.subarray(0, bytes), this.#sequence, this.#from, this.#length)
    if (!taken) this.clear()
    return taken
  }

  /** This sequence of the pool is no longer what it was. */
  drop(sequence: number): void {
    if (sequence === this.#sequence) this.clear()
  }

  clear(): void {
    const { functions: f } = this.pool
    this.#sequence = -1
    this.#length = 0
    for (const sequence of [COPY, PASSING, PADDING]) f.llama_memory_seq_rm(this.lane.memory, sequence, -1, -1)
  }

  free(): void {
    this.pool.functions.llama_free(this.context)
    this.#batch.free()
  }

  /** Copies the first `length` tokens of the pool's sequence, which is as long. */
  #load(sequence: number, length: number): boolean {
    this.clear()
    if (length > 0) {
      const { functions: f, blob } = this.pool
      if (!this.pool.holds(sequence, length)) return false
      const bytes = this.pool.save(sequence)
      const read = bytes === 0 ? 0 : Number(f.llama_state_seq_set_data(this.context, blob, bytes, COPY))
      if (read === 0) return false
    }
    this.#sequence = sequence
    this.#length = length
    return true
  }
}
