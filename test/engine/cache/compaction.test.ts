import path from 'node:path'
import t from 'tap'
import { TierStore } from '../../../src/engine/tiers/store.js'
import { loadBackend } from '../../../src/llama/backend.js'
import { packageRoot } from '../../../src/root.js'
import { EngineHarness, type Outcome, request } from '../harness.js'
import { SimulatedBackend } from '../simulated-backend.js'

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

t.test('a step beside idle cells soon costs what it costs in an empty pool', async t => {
  // What a step costs on a CPU grows with the highest used cell: how many that are is looked at, not the time.
  const backend = new SimulatedBackend({ cells: 8192, batchRows: 512, device: 'CPU', delay: 1 })
  const tokens = (length: number, seed: number) =>
    Array.from({ length }, (_, i) => 1 + ((i * 31 + seed * 17) % 90))
  const spans = async (harness: EngineHarness, seed: number, maxTokens: number) => {
    const seen: number[] = []
    const { done } = harness.submit(
      request(tokens(40, seed), { maxTokens, ignoreEndOfText: true }),
      event => {
        if (event.type === 'text') seen.push(backend.span)
      }
    )
    await harness.guard(done)
    return seen
  }
  const config = { contextCells: 8192, batchRows: 512, checkEveryStep: false }
  const idle = 5000
  for (const tiers of [true, false]) {
    const store = tiers ? new TierStore({ ramBytes: 64 * 1024 * 1024, disk: null }) : null
    const harness = await EngineHarness.start(backend, config, store)
    const alone = (await spans(harness, 1, 20)).at(-1)!
    await harness.guard(harness.run(request(tokens(idle, 2), { maxTokens: 1 })))
    t.ok(backend.span >= idle, `${backend.span} cells before the stream begins`)
    const seen = await spans(harness, 3, 400)
    t.ok(alone < 100, `${alone} cells in an empty pool`)
    const last = seen.at(-1)!
    // 256 idle cells may stay, and its own 440.
    if (tiers)
      t.ok(last < 1024, `${last} cells in the end: the idle ones are in RAM, its own have moved down`)
    else t.ok(last > idle, `${last} cells without tiers: there is nowhere for them to go`)
    if (tiers) {
      const outcome = await harness.guard(harness.run(request(tokens(idle, 2), { maxTokens: 1 })))
      const end = outcome.events.at(-1)
      t.ok(
        end?.type === 'end' && end.usage.cached.ram > idle - 300,
        'and nothing of it has to be computed again'
      )
    }
    await harness.guard(harness.engine.idle())
    harness.engine.scheduler.prefixes.clear()
    await harness.stop()
  }
})
