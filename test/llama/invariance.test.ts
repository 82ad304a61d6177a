import t, { type Test } from 'tap'
import type { Backend } from '../../src/engine/backend.js'
import { feed, small, someTokens, tiny } from './support/backends.js'

/** `invariantRows`: up to that many rows, the way a prompt is cut and what else is there change no bit. */

t.test('the real model', async t => {
  for (const cacheType of ['f16', 'f32', 'q8_0']) {
    const backend = await small(t, { cacheTypeK: cacheType, cacheTypeV: cacheType })
    t.equal(backend.capabilities.invariantRows, 63)
    await check(t, backend, cacheType, 6400)
  }
})

t.test('weights in f32 are not promised', async t => {
  // One row and several go different ways through the matrix kernels.
  for (const kind of ['llama', 'gemma3', 'mamba', 'lfm2'] as const) {
    t.equal((await tiny(t, kind)).capabilities.invariantRows, 0, kind)
  }
})

t.test('nothing is promised without flash attention', async t => {
  t.equal((await small(t, { flashAttention: 'off' })).capabilities.invariantRows, 0)
})

async function check(t: Test, backend: Backend, name: string, words: number): Promise<void> {
  const { invariantRows } = backend.capabilities
  const prompt = someTokens(200, words)
  const reference = await feed(backend, 0, prompt, 0, invariantRows)
  backend.removeRange(0, -1, -1)
  for (const chunk of [1, 17, 40]) {
    t.ok(same(await feed(backend, 0, prompt, 0, chunk), reference), `${name}: chunks of ${chunk}`)
    backend.removeRange(0, -1, -1)
  }
  // Other cells, and other rows in the last batch.
  await feed(backend, 1, someTokens(300, words, 2), 0)
  await feed(backend, 2, prompt.slice(0, 199), 0, 50)
  backend.batch.clear()
  backend.batch.add(50, 300, 1, true)
  const row = backend.batch.add(prompt[199]!, 199, 2, true)
  await backend.decode()
  t.ok(same(backend.logits(row), reference), `${name}: beside another sequence`)
}

function same(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, index) => Object.is(value, b[index]))
}
