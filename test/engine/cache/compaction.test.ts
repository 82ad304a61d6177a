import path from 'node:path'
import t from 'tap'
import { TierStore } from '../../../src/engine/tiers/store.js'
import { loadBackend } from '../../../src/llama/backend.js'
import { packageRoot } from '../../../src/root.js'
import { EngineHarness, type Outcome, request } from '../harness.js'

const model = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')

const prompt = (seed: number, words: number) =>
  `<|im_start|>user\n${Array.from({ length: words }, (_, i) => ['sea', 'dog', 'rain'][(i * 5 + seed) % 3]).join(' ')}<|im_end|>\n<|im_start|>assistant\n`

t.test('cells move down under running streams: their text goes on, idle prefixes stay', async t => {
  const backend = await loadBackend({
    model,
    contextCells: 16384,
    sequenceIds: 64,
    batchRows: 63,
    threads: 1,
    gpuLayers: 0,
    cacheTypeK: 'f16',
    cacheTypeV: 'f16',
    flashAttention: 'auto'
  })
  t.teardown(() => backend.dispose())
  const store = new TierStore({ ramBytes: 256 * 1024 * 1024, disk: null })
  const harness = await EngineHarness.start(backend, { batchRows: 63, parallel: 8 }, store)
  const wanted = { maxTokens: 60, ignoreEndOfText: true }
  const expected = await harness.guard(harness.run(request(prompt(1, 40), { ...wanted, salt: 'alone' })))
  // Idle prefixes lie below the streams that come next.
  for (let seed = 2; seed < 5; seed++)
    await harness.guard(harness.run(request(prompt(seed, 400), { maxTokens: 2 })))
  const { scheduler } = harness.engine
  const used = scheduler.usedCells
  let moved = 0
  let tokens = 0
  const streams = [1, 1, 1].map((seed, i) =>
    harness.submit(request(prompt(seed, 40), { ...wanted, salt: `stream ${i}` }), event => {
      if (event.type !== 'text' || ++tokens !== 40) return
      void harness.engine.betweenSteps(() => {
        scheduler.cache.evict(used)
        moved = scheduler.compact(scheduler.tiers!.scratchId)
      })
    })
  )
  const outcomes = await harness.guard(Promise.all(streams.map(each => each.done)))
  t.ok(moved > 0, `${moved} bytes moved`)
  const text = (outcome: Outcome) => outcome.text[0]
  for (const outcome of outcomes) t.equal(text(outcome), text(expected))
  t.same(await harness.engine.betweenSteps(() => harness.engine.check()), [])
  await harness.stop()
})
