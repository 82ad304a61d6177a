import os from 'node:os'
import t from 'tap'
import { readGguf } from '../../src/llama/gguf.js'
import { availableMemory, bytesPerCell, estimateContext, sequenceIdsWithin } from '../../src/llama/memory.js'
import { feed, small, smallModel, someTokens, tiny } from './support/backends.js'

const shape = {
  cells: 2048,
  sequenceIds: 16,
  batchRows: 512,
  outputRows: 16,
  cacheTypeK: 'f16',
  cacheTypeV: 'f16',
  flashAttention: 'auto'
} as const

t.test('bytes of a cell, told from the metadata, are those that the library writes', async t => {
  for (const kind of ['llama', 'gemma3', 'mamba', 'lfm2'] as const) {
    const backend = await tiny(t, kind)
    const header = readGguf(backend.info.path)
    const estimate = estimateContext(header, backend.info.vocabularySize, shape)
    t.equal(estimate.perCell, kind === 'mamba' ? 0 : backend.capabilities.bytesPerCell, kind)
  }
  for (const [cacheTypeK, cacheTypeV] of [
    ['q8_0', 'q4_0'],
    ['f32', 'bf16']
  ] as const) {
    const backend = await small(t, { cacheTypeK, cacheTypeV })
    t.equal(bytesPerCell(readGguf(smallModel), cacheTypeK, cacheTypeV), backend.capabilities.bytesPerCell)
  }
})

t.test('recurrent states are counted for every sequence id', async t => {
  for (const kind of ['mamba', 'lfm2'] as const) {
    const backend = await tiny(t, kind)
    await feed(backend, 0, someTokens(1, 260), 0)
    const header = readGguf(backend.info.path)
    const one = estimateContext(header, 300, { ...shape, sequenceIds: 1 })
    const many = estimateContext(header, 300, { ...shape, sequenceIds: 256 })
    t.equal(many.recurrent, 256 * one.recurrent)
    const measured = backend.stateBytes(0) - backend.capabilities.bytesPerCell
    t.ok(
      one.recurrent <= measured && measured - one.recurrent < 400,
      `${kind}: ${one.recurrent}, ${measured}`
    )
  }
})

t.test('logits take a row per sequence id, or per output row where those are more', async t => {
  const header = readGguf(smallModel)
  t.equal(estimateContext(header, 1000, { ...shape, sequenceIds: 256 }).outputs, 4 * 1000 * 256)
  t.equal(estimateContext(header, 1000, { ...shape, outputRows: 512 }).outputs, 4 * 1000 * 512)
})

t.test('the sum covers what llama.cpp says it allocates', async t => {
  // 16384 cells, 256 ids, 512 rows: KV 64 MiB, output 6.25 MiB, compute 28.26 MiB in its log.
  const bytes = estimateContext(readGguf(smallModel), 6400, {
    ...shape,
    cells: 16384,
    sequenceIds: 256,
    outputRows: 256
  })
  t.equal(bytes.perCell * 16384, 64 * 2 ** 20)
  t.equal(bytes.outputs, 6.25 * 2 ** 20)
  t.ok(bytes.compute > 28.26 * 2 ** 20 && bytes.compute < 60 * 2 ** 20, `${bytes.compute / 2 ** 20} MiB`)
})

t.test('available memory is a part of what the machine has', async t => {
  const bytes = availableMemory()
  t.ok(bytes > 50e6 && bytes <= os.totalmem(), `${bytes}`)
})

t.test('fewer sequence ids where each takes a large state', async t => {
  const wanted = { most: 256, fewest: 20 }
  const header = readGguf((await tiny(t, 'mamba')).info.path)
  const state = estimateContext(header, 300, { ...shape, sequenceIds: 1 }).recurrent
  t.equal(sequenceIdsWithin(header, wanted, 2 ** 40), 256)
  t.equal(sequenceIdsWithin(header, wanted, state * 8 * 100), 100)
  t.equal(sequenceIdsWithin(header, wanted, 0), 20)
  t.equal(sequenceIdsWithin(readGguf(smallModel), wanted, 0), 256, 'attention needs none')
})
