/** Prompts computed on a copy of their own, against the same backend without: nothing may differ from above. */
import t from 'tap'
import type { Backend } from '../../src/engine/backend.js'
import { promptLaneCells } from '../../src/llama/prompt-lane.js'
import { count } from '../support/counts.js'
import { small, someTokens, tiny } from './support/backends.js'
import { decodingProcess } from './support/decoding-process.js'

const IDS = 6
/** More than any prompt here: the lane is taken whenever it can be. */
const CROWD = 1e9
/** As between any two shapes (test/engine/oracle.test.ts). */
const BOUND = 1.5

/** Positions [from, to) of a sequence in one batch, with `padding` rows of sequence IDS - 1. Logits of the last. */
async function advance(
  backend: Backend,
  sequence: number,
  [from, to]: [number, number],
  { crowd = CROWD, padding = 0 } = {}
): Promise<Float32Array> {
  const tokens = someTokens(to, backend.info.vocabularySize, sequence)
  backend.batch.clear()
  let row = -1
  for (let at = from; at < to; at++)
    row = backend.batch.add(tokens[at] as number, at, sequence, at === to - 1)
  for (let at = 0; at < padding; at++) backend.batch.add(0, at, IDS - 1, false)
  const result = await backend.decode({ prompt: { sequence, others: crowd } })
  if (result !== 'ok') throw new Error(result)
  if (padding > 0) backend.removeRange(IDS - 1, 0, -1)
  return backend.logits(row).slice()
}

function difference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0)
}

t.test('chunks of several prompts in turn give the same logits and the same cells', async t => {
  const options = { contextCells: 4096, sequenceIds: IDS + 1 }
  // Once cells have been freed, later ones may lie before earlier ones in the pool, but not in the copy: that rounds.
  for (const { rows, frees, bound } of [
    { rows: 60, frees: false, bound: 0 },
    { rows: 60, frees: true, bound: BOUND },
    { rows: 200, frees: true, bound: BOUND }
  ]) {
    const [laned, plain] = [await small(t, { ...options, lanes: 4 }), await small(t, options)]
    t.ok((laned.capabilities.promptLaneCells ?? 0) >= 1024)
    t.equal(plain.capabilities.promptLaneCells, undefined)
    const lengths = new Array<number>(IDS - 1).fill(0)
    let most = 0
    let seed = 7
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648
      return seed % below
    }
    const steps = frees ? count(30, 150) : 60
    for (let step = 0; step < steps; step++) {
      const sequence = random(3)
      const from = lengths[sequence] as number
      if (from > 1000) {
        if (!frees) continue
        for (const backend of [laned, plain]) backend.removeRange(sequence, 0, -1)
        lengths[sequence] = 0
        continue
      }
      const to = from + 1 + random(rows)
      const padding = random(4) === 0 && to - from < 60 ? 63 - (to - from) : 0
      // Sometimes in the pool although the lane holds a copy, which is no longer up to date then.
      const crowd = random(4) === 0 ? 0 : CROWD
      const logits = await advance(laned, sequence, [from, to], { padding, crowd })
      most = Math.max(most, difference(logits, await advance(plain, sequence, [from, to], { padding })))
      lengths[sequence] = to
      if (frees && random(5) === 0 && to > 20) {
        for (const backend of [laned, plain]) backend.removeRange(sequence, to - 10, -1)
        lengths[sequence] = to - 10
      }
      t.equal(laned.usedCells(), plain.usedCells())
      for (let id = 0; id < IDS; id++) t.equal(laned.maxPosition(id), plain.maxPosition(id))
    }
    const what = `${steps} steps of up to ${rows} rows${frees ? ', some freed' : ''}`
    t.ok(most <= bound, `${what}: largest difference of a logit ${most}`)
  }
})

t.test('what the lane computed is in the pool: saved, restored and shared as ever', async t => {
  const [laned, plain] = [
    await small(t, { contextCells: 4096, sequenceIds: IDS + 1, lanes: 4 }),
    await small(t, { contextCells: 4096, sequenceIds: IDS + 1 })
  ]
  for (const backend of [laned, plain]) {
    await advance(backend, 0, [0, 50])
    await advance(backend, 0, [50, 100])
    backend.copyRange(0, 1, 0, 100)
  }
  const save = (backend: Backend) => {
    const blob = new Uint8Array(backend.stateBytes(1))
    return blob.subarray(0, backend.saveState(1, blob))
  }
  t.same(Buffer.compare(save(laned), save(plain)), 0)
  for (const backend of [laned, plain]) {
    backend.removeRange(0, 60, -1)
    backend.restoreState(2, save(backend))
  }
  const next = (sequence: number, at: number) => (backend: Backend) =>
    advance(backend, sequence, [at, at + 20])
  for (const go of [next(0, 60), next(2, 100)])
    t.equal(difference(await go(laned), await go(plain)), 0, 'after a cut, and from a saved state')
})

t.test('a full pool is told, and nothing has changed', async t => {
  const laned = await small(t, { contextCells: 512, sequenceIds: IDS + 1, lanes: 4 })
  await advance(laned, 0, [0, 300])
  await advance(laned, 1, [0, 180])
  const before = laned.usedCells()
  await t.rejects(advance(laned, 1, [180, 260]), /full/)
  t.equal(laned.usedCells(), before)
  t.equal(laned.maxPosition(1), 179)
  laned.removeRange(0, 0, -1)
  await advance(laned, 1, [180, 260])
  t.equal(laned.usedCells(), 260)
})

t.test('disposed of in the middle of a decode: it ends, and touches nothing that is freed', async t => {
  const body = `
    const decoding = backend.decode({ prompt: { sequence: 0, others: ${CROWD} } })
    backend.dispose()
    if ((await decoding) !== 'ok') process.exit(1)`
  // glibc overwrites what is freed, and maps nothing: so nothing is left of it.
  const env = { MALLOC_PERTURB_: '165', MALLOC_MMAP_THRESHOLD_: '1073741824' }
  t.equal(await decodingProcess(body, env), 0)
})

t.test('only models of attention layers with small cells have one', async t => {
  t.equal((await tiny(t, 'gemma3', { lanes: 4 })).capabilities.promptLaneCells, undefined)
  t.equal((await tiny(t, 'mamba', { lanes: 4 })).capabilities.promptLaneCells, undefined)
  t.equal(promptLaneCells(4096, 32768), 8192)
  t.equal(promptLaneCells(4096, 2000), 2048)
  t.equal(promptLaneCells(128 * 1024, 32768), 0, 'a model with 128 KiB a cell')
})
