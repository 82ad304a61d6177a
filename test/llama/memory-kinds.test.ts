import t from 'tap'
import type { Backend } from '../../src/engine/backend.js'
import { continueGreedily, feed, largest, someTokens, tiny } from './support/backends.js'

/** Chunks of 64, so that every way to a state computes it in the same shapes. */
const chunk = 64
const prompt = someTokens(300, 260)
const next = someTokens(1, 260, 5)

t.test('says how a model remembers', async t => {
  const expected = {
    llama: { memory: 'attention', window: 0, bytesPerCell: 384 },
    gemma3: { memory: 'window', window: 64, bytesPerCell: 768 },
    mamba: { memory: 'recurrent', window: 0, bytesPerCell: 0 },
    lfm2: { memory: 'hybrid', window: 0, bytesPerCell: 256 }
  } as const
  for (const [kind, capabilities] of Object.entries(expected)) {
    const backend = await tiny(t, kind as keyof typeof expected)
    t.match(backend.capabilities, { layout: 'unified', cells: 2048, sequenceIds: 16, ...capabilities }, kind)
    t.equal(backend.info.architecture, kind)
    t.equal(backend.usedCells(), kind === 'llama' ? 0 : -1)
  }
})

t.test('whole states restore exactly, whatever the memory', async t => {
  for (const kind of ['llama', 'gemma3', 'mamba', 'lfm2'] as const) {
    const backend = await tiny(t, kind)
    const logits = await feed(backend, 0, prompt, 0, chunk)
    const blob = new Uint8Array(backend.stateBytes(0))
    backend.saveState(0, blob)
    const reference = await continueGreedily(backend, 0, logits, 300, 10)
    t.equal(backend.restoreState(1, blob), blob.length, kind)
    t.equal(backend.maxPosition(1), 299)
    t.same(await continueGreedily(backend, 1, logits, 300, 10), reference, kind)
  }
})

t.test('sliding window', async t => {
  const backend = await tiny(t, 'gemma3')
  const window = backend.capabilities.window
  await feed(backend, 0, prompt, 0, chunk)
  backend.copyRange(0, 1, -1, -1)
  const reference = await feed(backend, 1, next, 300)

  t.test('computed cells can be cut and copied like those of plain attention', async t => {
    t.equal(backend.minPosition(0), 0, 'the whole prompt is kept')
    const fresh = await tiny(t, 'gemma3')
    await feed(fresh, 0, prompt.slice(0, 128), 0, chunk)
    const expected = await feed(fresh, 0, next, 128)
    backend.copyRange(0, 2, 0, 128)
    t.equal(backend.maxPosition(2), 127)
    t.same(await feed(backend, 2, next, 128), expected)
  })

  t.test('pieces saved apart, restored and attached in order are exact', async t => {
    const blobs = [
      [0, 100],
      [100, 200],
      [200, 300]
    ].map(([p0, p1]) => {
      backend.copyRange(0, 3, p0!, p1!)
      const bytes = new Uint8Array(backend.stateBytes(3))
      backend.saveState(3, bytes)
      backend.removeRange(3, -1, -1)
      return bytes
    })
    for (const blob of blobs) {
      backend.restoreState(4, blob)
      backend.copyRange(4, 5, -1, -1)
      backend.removeRange(4, -1, -1)
    }
    t.same(await feed(backend, 5, next, 300), reference)
  })

  t.test('a restored sequence holds its window only, and its first position shows it', async t => {
    backend.copyRange(0, 6, -1, -1)
    const bytes = new Uint8Array(backend.stateBytes(6))
    backend.saveState(6, bytes)
    backend.restoreState(7, bytes)
    t.equal(backend.minPosition(7), 300 - window)
    t.equal(guard(backend, 7, 300), true)
    t.same(await feed(backend, 7, next, 300), reference, 'whole it is exact')

    // The trap: the library cuts it, and would go on with wrong logits. The guard refuses.
    backend.restoreState(8, bytes)
    t.equal(backend.removeRange(8, 200, -1), true)
    t.equal(guard(backend, 8, 200), false)
  })
})

t.test('recurrent memory is not cut', async t => {
  const backend = await tiny(t, 'mamba')
  const reference = await feed(backend, 0, prompt, 0, chunk)
  t.equal(backend.minPosition(0), 299, 'the state is that of the last position')
  t.equal(backend.maxPosition(0), 299)
  t.equal(backend.removeRange(0, 200, -1), false)
  t.equal(backend.maxPosition(0), 299, 'nothing changed')
  backend.copyRange(0, 1, -1, -1)
  const first = await feed(backend, 0, [largest(reference)], 300)
  t.same(await feed(backend, 1, [largest(reference)], 300), first, 'a whole copy is exact')
  t.equal(backend.removeRange(0, -1, -1), true)
  t.equal(backend.maxPosition(0), -1)
})

t.test('hybrid memory is copied at its boundary', async t => {
  const backend = await tiny(t, 'lfm2')
  await feed(backend, 0, prompt.slice(0, 128), 0, chunk)
  backend.copyRange(0, 10, 0, 128)
  await feed(backend, 0, prompt.slice(128), 128, chunk)
  backend.copyRange(0, 11, 128, 300)
  t.equal(backend.removeRange(0, 200, -1), false, 'its tail cannot be taken away')
  const reference = await feed(backend, 0, next, 300)

  backend.copyRange(10, 1, -1, -1)
  backend.copyRange(11, 1, -1, -1)
  t.equal(backend.maxPosition(1), 299)
  t.same(await feed(backend, 1, next, 300), reference, 'two nodes in order')

  const fresh = await tiny(t, 'lfm2')
  await feed(fresh, 0, prompt.slice(0, 128), 0, chunk)
  const expected = await feed(fresh, 0, next, 128)
  backend.copyRange(10, 2, -1, -1)
  t.same(await feed(backend, 2, next, 128), expected, 'the first node alone')

  backend.copyRange(0, 3, 0, 200)
  t.equal(guard(backend, 3, 200), false, 'a copy from inside shows in its positions')
})

/** The rule before the first decode of a sequence at position p: else compute it anew. */
function guard(backend: Backend, sequence: number, p: number): boolean {
  const { memory, window } = backend.capabilities
  const first = memory === 'attention' || memory === 'window' ? Math.max(0, p - window) : p - 1
  return backend.minPosition(sequence) <= first && backend.maxPosition(sequence) === p - 1
}
