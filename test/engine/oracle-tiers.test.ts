/** The oracle for prefixes that left the pool: attached, from RAM, from disk after a restart, preempted: one text. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import type { Backend } from '../../src/engine/backend.js'
import type { CachedTokens } from '../../src/engine/messages.js'
import { TierStore } from '../../src/engine/tiers/store.js'
import { loadBackend } from '../../src/llama/backend.js'
import { packageRoot } from '../../src/root.js'
import { EngineHarness, gapAtFirstDifference, type Outcome, request } from './harness.js'

const model = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')

function load(contextCells: number, cacheType: string): Promise<Backend> {
  return loadBackend({
    model,
    contextCells,
    sequenceIds: 64,
    batchRows: 512,
    threads: 1,
    gpuLayers: 0,
    cacheTypeK: cacheType,
    cacheTypeV: cacheType,
    flashAttention: 'auto'
  })
}

function open(backend: Backend, folder: string | null): TierStore {
  return new TierStore({
    ramBytes: 256 * 1024 * 1024,
    disk: folder
      ? {
          folder,
          fingerprint: backend.info.fingerprint,
          label: 'test',
          capBytes: 2 ** 30,
          dailyWriteBytes: null
        }
      : null
  })
}

const words = (n: number, seed: number) =>
  Array.from(
    { length: n },
    (_, i) => ['sea', 'dog', 'rain', 'train', 'bread', 'moon'][(i * 7 + seed + (i >> 3)) % 6]
  ).join(' ')
const prompt = (seed: number, n = 500) =>
  `<|im_start|>system\nYou know a lot.<|im_end|>\n<|im_start|>user\n${words(n, seed)}: what is ${seed}?<|im_end|>\n<|im_start|>assistant\n`

const wanted = { maxTokens: 40, ignoreEndOfText: true }

function cached(outcome: Outcome): CachedTokens {
  const end = outcome.events.at(-1)
  if (end?.type !== 'end') throw new Error(JSON.stringify(end))
  return end.usage.cached
}

const config = { batchRows: 512, parallel: 8, reproducible: true }

for (const cacheType of ['f16', 'q8_0']) {
  t.test(
    `${cacheType}: cold = attached = from RAM = from disk after a restart`,
    { timeout: 180_000 },
    async t => {
      const folder = mkdtempSync(path.join(tmpdir(), 'octavo-oracle-'))
      t.teardown(() => rmSync(folder, { recursive: true, force: true }))
      const backend = await load(2048, cacheType)
      const harness = await EngineHarness.start(backend, config, open(backend, folder))
      const cold = await harness.guard(harness.run(request(prompt(1), wanted)))
      t.match(cached(cold), { resident: 0, ram: 0, disk: 0 })
      const attached = await harness.guard(harness.run(request(prompt(1), wanted)))
      t.equal(attached.text[0], cold.text[0], 'attached')
      t.ok(cached(attached).resident > 400)
      // Others push it out of the pool.
      for (let seed = 2; seed < 6; seed++)
        await harness.guard(harness.run(request(prompt(seed), { ...wanted, salt: 'x' })))
      const fromRam = await harness.guard(harness.run(request(prompt(1), wanted)))
      t.equal(fromRam.text[0], cold.text[0], 'from RAM')
      t.ok(cached(fromRam).ram > 400, `${cached(fromRam).ram} tokens from RAM`)
      t.same(await harness.engine.betweenSteps(() => harness.engine.check()), [])
      const { spilledBytes } = await harness.guard(harness.engine.drain(1000))
      t.ok(spilledBytes > 0)
      await harness.stop()
      backend.dispose()

      const fresh = await load(2048, cacheType)
      const store = open(fresh, folder)
      await store.ready
      const restarted = await EngineHarness.start(fresh, config, store)
      const fromDisk = await restarted.guard(restarted.run(request(prompt(1), wanted)))
      t.equal(fromDisk.text[0], cold.text[0], 'from disk')
      t.ok(cached(fromDisk).disk > 400, `${cached(fromDisk).disk} tokens from disk`)
      // Longer than what is stored, and cut in the middle of a piece.
      const cut = await restarted.guard(restarted.run(request(prompt(1).slice(0, 1500), wanted)))
      const cutCold = await restarted.guard(
        restarted.run(request(prompt(1).slice(0, 1500), { ...wanted, salt: 'cold' }))
      )
      t.equal(cut.text[0], cutCold.text[0], 'a part of it')
      await restarted.stop()
      fresh.dispose()
    }
  )
}

t.test('preempted and resumed without computing again: the same text', { timeout: 180_000 }, async t => {
  const large = await load(8192, 'f16')
  const long = { maxTokens: 420, ignoreEndOfText: true }
  // Under 64 rows nothing depends on the shape of a batch: ordinary streams can be compared as well.
  const small = { batchRows: 63, parallel: 4, reproducible: false }
  const alone = await EngineHarness.start(large, small)
  const expected: Outcome[] = []
  for (let seed = 1; seed <= 3; seed++) {
    expected.push(await alone.guard(alone.run(request(prompt(seed, 120), { ...long, logprobs: 2 }))))
  }
  await alone.stop()
  large.dispose()
  const backend = await load(1024, 'f16')
  t.teardown(() => backend.dispose())
  const harness = await EngineHarness.start(backend, small, open(backend, null))
  const outcomes = await harness.guard(
    Promise.all([1, 2, 3].map(seed => harness.run(request(prompt(seed, 120), { ...long, logprobs: 2 }))))
  )
  const { preemptions, restoredBytes, promptTokens } = harness.engine.stats().counters
  t.comment(`${preemptions} preemptions, ${restoredBytes} bytes restored`)
  t.ok(preemptions > 0)
  for (const [i, outcome] of outcomes.entries()) {
    const gap = gapAtFirstDifference(expected[i]!, outcome)
    t.ok(
      gap === null || gap < 1.5,
      `stream ${i}: ${gap === null ? 'the same' : `parts where two tokens are ${gap} apart`}`
    )
  }
  t.ok(promptTokens < 3 * 400, `nothing was computed twice: ${promptTokens}`)
  await harness.stop()
})
