/**
 * Counts the cells in use from the sizes of the library's own state, which has no call for it. The size of a state is
 * a fixed part plus, for every cell, its rows, its position, a count and 4 bytes per sequence id that shares it
 * (`llama_kv_cache::state_write`). The fixed parts and the rows are measured once, on a context with 0, 1 and 2 cells.
 */
export interface StateSizes {
  /** Size of the whole state when nothing is held, and with one cell of one sequence. */
  wholeEmpty: number
  wholeOne: number
  /** Size of one sequence's state with one and with two cells. */
  sequenceOne: number
  sequenceTwo: number
}

/** Position, count of ids, one id: what a cell takes beside its rows in the state of a sequence. */
const cellOverhead = 12
const idBytes = 4

/**
 * @param sequences State sizes of all sequences that hold something.
 * @returns Cells in use, each counted once; -1 when the sizes do not add up (a memory of another structure).
 */
export function cellsInUse(sizes: StateSizes, whole: number, sequences: readonly number[]): number {
  const perCell = sizes.sequenceTwo - sizes.sequenceOne
  if (perCell <= cellOverhead) return -1
  if (sequences.length === 0) return whole === sizes.wholeEmpty ? 0 : -1
  // Cells of each sequence, shared ones counted in each.
  const held = sequences.reduce((sum, size) => sum + (size - sizes.sequenceOne) / perCell + 1, 0)
  const fixed = sizes.wholeOne - perCell
  const used = (whole - fixed - held * idBytes) / (perCell - idBytes)
  return Number.isInteger(held) && Number.isInteger(used) ? used : -1
}

/**
 * Bytes of keys and values of a cell, measured.
 * @param caches How many caches hold each position: two where some layers keep a window.
 */
export function measuredBytesPerCell(sizes: StateSizes, caches: number): number {
  return Math.max(0, sizes.sequenceTwo - sizes.sequenceOne - caches * cellOverhead)
}
