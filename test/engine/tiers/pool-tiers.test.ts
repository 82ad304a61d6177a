import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import type { CachedTokens } from '../../../src/engine/messages.js'
import { TierStore } from '../../../src/engine/tiers/store.js'
import { EngineHarness, type Outcome, request } from '../harness.js'
import { expectedAnswer, SimulatedBackend } from '../simulated-backend.js'

const MB = 1024 * 1024

function store(folder: string | null = null): TierStore {
  return new TierStore({
    ramBytes: 8 * MB,
    grid: 64,
    disk: folder
      ? { folder, fingerprint: 'simulated', label: 'simulated', capBytes: 64 * MB, dailyWriteBytes: null }
      : null
  })
}

const tokens = (n: number, seed: number) =>
  Array.from({ length: n }, (_, i) => 1 + ((i * 31 + seed * 57 + (i >> 4)) % 120))
const answer = (prompt: number[], n: number) => Buffer.from(expectedAnswer(prompt, n)).toString()

function cached(outcome: Outcome): CachedTokens {
  const end = outcome.events.at(-1)
  if (end?.type !== 'end') throw new Error(JSON.stringify(end))
  return end.usage.cached
}

async function start(backend: SimulatedBackend, tiers: TierStore): Promise<EngineHarness> {
  return EngineHarness.start(backend, { batchRows: 64, parallel: 4 }, tiers)
}

t.test('what was evicted from the pool comes back from RAM', async t => {
  const harness = await start(new SimulatedBackend({ cells: 600, sequenceIds: 32 }), store())
  const first = tokens(300, 1)
  await harness.guard(harness.run(request(first)))
  for (let seed = 2; seed < 6; seed++) await harness.guard(harness.run(request(tokens(300, seed))))
  t.ok(harness.engine.stats().counters.evictedCells > 300)
  const again = await harness.guard(harness.run(request(first)))
  t.equal(again.text[0], answer(first, 16))
  const { resident, ram } = cached(again)
  t.equal(resident + ram, 299)
  t.ok(ram > 100, `${ram} tokens from RAM`)
  t.same(harness.engine.check(), [])
  await harness.stop()
})

t.test('a prefix shared by many sessions is saved once; a turn adds only its own tokens', async t => {
  const harness = await start(new SimulatedBackend({ cells: 4096, sequenceIds: 64 }), store())
  const shared = tokens(256, 1)
  const saved = () => harness.engine.stats().counters.spilledBytes
  const settle = async () => {
    while (harness.engine.scheduler.tiers?.spiller.pending)
      await new Promise(resolve => setImmediate(resolve))
  }
  await harness.guard(harness.run(request([...shared, ...tokens(20, 2)])))
  await settle()
  const one = saved()
  t.ok(one >= 8 * 256)
  for (let seed = 3; seed < 23; seed++) {
    await harness.guard(harness.run(request([...shared, ...tokens(20, seed)], { maxTokens: 4 })))
  }
  await settle()
  const perSession = (saved() - one) / 20
  t.ok(
    perSession <= 8 * 2 * 30,
    `${perSession} bytes for a session of 20 + 4 own tokens, twice saved at most`
  )
  await harness.stop()
})

t.test('what was drained to disk is there after a restart', async t => {
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-tiers-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const prompt = tokens(400, 7)
  const before = await start(new SimulatedBackend({ cells: 1024 }), store(folder))
  await before.guard(before.run(request(prompt)))
  const drained = await before.guard(before.engine.drain(1000))
  t.ok(drained.spilledBytes >= 8 * 400)
  await before.stop()
  const tiers = store(folder)
  await tiers.ready
  const after = await start(new SimulatedBackend({ cells: 1024 }), tiers)
  const outcome = await after.guard(after.run(request(prompt)))
  t.equal(outcome.text[0], answer(prompt, 16))
  t.match(cached(outcome), { resident: 0, disk: 399 })
  const other = await after.guard(after.run(request(prompt, { salt: 'another tenant' })))
  t.match(cached(other), { resident: 0, ram: 0, disk: 0 })
  await after.stop()
})

t.test('a preempted stream goes on from RAM with the same text', async t => {
  const backend = new SimulatedBackend({ cells: 760, sequenceIds: 32 })
  const harness = await start(backend, store())
  const prompts = [tokens(100, 1), tokens(100, 2), tokens(100, 3)]
  const outcomes = await harness.guard(
    Promise.all(
      prompts.map(prompt => harness.run(request(prompt, { maxTokens: 340, ignoreEndOfText: true })))
    )
  )
  for (const [i, outcome] of outcomes.entries()) {
    t.equal(outcome.events.at(-1)?.type, 'end')
    t.equal(outcome.events.filter(event => event.type === 'started').length, 1, `started once: ${i}`)
  }
  const { preemptions, promptTokens, restoredBytes } = harness.engine.stats().counters
  t.ok(preemptions > 0, `${preemptions} preemptions`)
  t.ok(restoredBytes > 0)
  t.ok(promptTokens <= 330, `nothing was computed twice: ${promptTokens} prompt tokens`)
  await harness.stop()
})

t.test('clearing forgets all tiers', async t => {
  const harness = await start(new SimulatedBackend({ cells: 1024 }), store())
  const prompt = tokens(200, 1)
  await harness.guard(harness.run(request(prompt)))
  await harness.engine.betweenSteps(() => harness.engine.clearCache())
  const again = await harness.guard(harness.run(request(prompt)))
  t.match(cached(again), { resident: 0, ram: 0, miss: 'new' })
  await harness.stop()
})
