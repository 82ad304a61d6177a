import type { Backend } from '../backend.js'
import type { Stream } from '../scheduler/stream.js'
import type { Branch } from './branch.js'

/** More than this is not moved at once, bytes: it would hold the streams up. */
const MOST_BYTES = 256 * 1024 * 1024

interface Run {
  sequence: number
  from: number
  to: number
}

/**
 * Moves everything in the pool down to its lowest cells: each run is saved, all are removed, and restored one after the
 * other. Attention on a CPU goes over all cells up to the highest used one, and llama.cpp cannot defragment
 * (docs/performance.md). Contents do not change, nor do sequence ids.
 *
 * @param scratch a free sequence id.
 * @returns bytes moved; 0 when nothing was done.
 * @throws Error when the library refused a run that it had saved: the pool is then not what we think it is.
 */
export function compact(
  backend: Backend,
  branches: Iterable<Branch>,
  streams: readonly Stream[],
  scratch: number
): number {
  const runs: Run[] = [...branches].map(({ sequence, start, end }) => ({ sequence, from: start, to: end }))
  // Beginnings first: a path's cells then lie about in the order of its positions.
  runs.sort((a, b) => a.from - b.from)
  for (const { sequence, shared, computed } of streams) {
    if (computed > shared) runs.push({ sequence, from: shared, to: computed })
  }
  const cells = runs.reduce((sum, run) => sum + run.to - run.from, 0)
  if (cells === 0 || cells * backend.capabilities.bytesPerCell * 1.1 > MOST_BYTES) return 0

  const blobs = runs.map(run => save(backend, run, scratch))
  for (const { sequence } of [...runs, ...streams]) backend.removeRange(sequence, 0, -1)
  for (const [i, run] of runs.entries()) restore(backend, run, blobs[i] as Uint8Array, scratch)
  for (const stream of streams) {
    for (const { branch, from, to } of stream.path) {
      backend.copyRange(branch.sequence, stream.sequence, from, to)
    }
  }
  return blobs.reduce((sum, blob) => sum + blob.length, 0)
}

function save(backend: Backend, { sequence, from, to }: Run, scratch: number): Uint8Array {
  backend.copyRange(sequence, scratch, from, to)
  const blob = new Uint8Array(backend.stateBytes(scratch))
  const written = backend.saveState(scratch, blob)
  backend.removeRange(scratch, 0, -1)
  if (written === 0) throw new Error(`the library did not save positions ${from}..${to}`)
  return blob.subarray(0, written)
}

function restore(backend: Backend, { sequence, from, to }: Run, blob: Uint8Array, scratch: number): void {
  const read = backend.restoreState(scratch, blob)
  if (read === 0 || backend.maxPosition(scratch) !== to - 1) {
    throw new Error(`the library did not take positions ${from}..${to} back`)
  }
  backend.copyRange(scratch, sequence, from, to)
  backend.removeRange(scratch, 0, -1)
}
