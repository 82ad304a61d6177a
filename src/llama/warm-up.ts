/**
 * The first computations of a context, forgotten again: what a GPU compiles or a system reads from disk at the first
 * use is ready then, a model that cannot compute is found out, and what can only be measured is measured.
 */
import { type Backend, BackendError } from '../engine/backend.js'
import type { StateSizes } from './accounting.js'
import { measureSmallDecodes } from './small-decodes.js'

export interface WarmUp {
  sizes: StateSizes
  /** Whether a token's logits came out the same, bit for bit, computed alone and in one batch with those before. */
  invariant: boolean
  /** See `Capabilities.smallDecodeMs`. */
  smallDecodeMs: number[] | undefined
}

/** Odd, and more than a register tile of any matrix kernel has rows: one row and several take different ways. */
const probeRows = 17

/** @param probesInvariance Whether to find out `invariant`, at the price of twice `probeRows` rows. */
export async function warmUp(
  backend: Backend,
  wholeStateBytes: () => number,
  probesInvariance: boolean
): Promise<WarmUp> {
  const wholeEmpty = wholeStateBytes()
  await compute(backend, 0, 0, 1)
  const wholeOne = wholeStateBytes()
  const sequenceOne = backend.stateBytes(0)
  await compute(backend, 0, 1, 2)
  const sequenceTwo = backend.stateBytes(0)
  const invariant = probesInvariance && (await isInvariant(backend))
  backend.removeRange(0, -1, -1)
  const smallDecodeMs = await measureSmallDecodes(backend)
  backend.batch.clear()
  return { sizes: { wholeEmpty, wholeOne, sequenceOne, sequenceTwo }, invariant, smallDecodeMs }
}

/**
 * Goes on from the two rows that sequence 0 holds, the last one alone again, and computes the same in one batch. Rounding
 * of the cells to f16 hides differences of earlier rows; the logits of a row of its own show them.
 */
async function isInvariant(backend: Backend): Promise<boolean> {
  const { batchRows, sequenceIds } = backend.capabilities
  if (batchRows < probeRows || sequenceIds < 2) return false
  await compute(backend, 0, 2, probeRows - 1)
  const alone = (await compute(backend, 0, probeRows - 1, probeRows)).slice()
  const together = await compute(backend, 1, 0, probeRows)
  const same = alone.every((value, index) => Object.is(value, together[index]))
  backend.removeRange(1, -1, -1)
  return same
}

/** Computes positions [from, to) of a sequence in one batch. Returns the logits of the last one. */
async function compute(backend: Backend, sequence: number, from: number, to: number): Promise<Float32Array> {
  const { batch, info } = backend
  batch.clear()
  let row = 0
  for (let position = from; position < to; position++) {
    row = batch.add((position * 31) % info.vocabularySize, position, sequence, position === to - 1)
  }
  if ((await backend.decode()) !== 'ok') {
    throw new BackendError('context_failed', `the context has no room for ${to} tokens`)
  }
  return backend.logits(row)
}
