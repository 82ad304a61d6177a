import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Cadence } from '../../../src/engine/scheduler/cadence.js'
import { ReproducibleShapes } from '../../../src/engine/scheduler/chunking.js'
import { leaderFor, sharePromptRows } from '../../../src/engine/scheduler/prompt-shares.js'
import { StepBudget } from '../../../src/engine/scheduler/step-budget.js'
import { StepComposer } from '../../../src/engine/scheduler/step-composer.js'
import { StepCostModel } from '../../../src/engine/scheduler/step-cost.js'
import type { Chunk } from '../../../src/engine/scheduler/step-plan.js'
import { Stream } from '../../../src/engine/scheduler/stream.js'
import { SimulatedBackend } from '../simulated-backend.js'

function stream(length: number, overrides: Partial<ConstructorParameters<typeof Stream>[0]> = {}): Stream {
  return new Stream({
    promptTokens: Array.from({ length }, (_, i) => i),
    salt: '',
    tenant: '',
    priority: 0,
    arrived: 0,
    maxTokens: 10,
    cachePrompt: true,
    reproducible: false,
    ...overrides
  })
}

t.test(
  'prompt rows: never more than there are, never more than needed, nothing left while somebody wants rows',
  t => {
    const prompts = fc.array(
      fc.record({ length: fc.integer({ min: 1, max: 3000 }), tenant: fc.constantFrom('a', 'b', 'c') }),
      { minLength: 1, maxLength: 12 }
    )
    fc.assert(
      fc.property(prompts, fc.integer({ min: 1, max: 1024 }), (prompts, rows) => {
        const streams = prompts.map(({ length, tenant }) => stream(length, { tenant }))
        const shares = sharePromptRows(streams, rows)
        const wanted = prompts.reduce((sum, { length }) => sum + length, 0)
        assert.equal(
          shares.reduce((sum, share) => sum + share, 0),
          Math.min(rows, wanted)
        )
        for (const [i, share] of shares.entries()) assert.ok(share >= 0 && share <= prompts[i]!.length)
      })
    )
    t.pass()
    t.end()
  }
)

t.test('a short prompt goes on beside a long one, and the long one still advances', t => {
  const [long, short] = sharePromptRows([stream(50_000), stream(50)], 128) as [number, number]
  t.equal(short, 50)
  t.equal(long, 78)
  t.end()
})

t.test('long prompts of two tenants advance together; those of one, one after the other', t => {
  t.same(sharePromptRows([stream(5000, { tenant: 'a' }), stream(5000, { tenant: 'b' })], 512), [256, 256])
  t.same(sharePromptRows([stream(5000, { tenant: 'a' }), stream(5000, { tenant: 'a' })], 512), [512, 0])
  t.end()
})

t.test('higher priority first', t => {
  t.same(sharePromptRows([stream(100), stream(100, { priority: 1 })], 120), [20, 100])
  t.end()
})

t.test('a stream waits for another that is computing what it needs, and only then', t => {
  const leader = stream(500)
  const same = stream(300)
  t.equal(leaderFor(same, [leader], 0, 299, new Map()), leader)
  leader.paused = true
  t.equal(leaderFor(same, [leader], 0, 299, new Map()), null, 'the leader is held up by its client')
  leader.paused = false
  leader.computed = 290
  t.equal(leaderFor(same, [leader], 290, 299, new Map()), leader, 'its other followers need the rest as well')
  const [brief, other] = [stream(200), stream(100)]
  t.equal(leaderFor(other, [brief], 90, 99, new Map()), null, 'nearly all of a short prefix is cached')
  leader.computed = 299
  t.equal(leaderFor(same, [leader], 0, 299, new Map()), null, 'the leader is past it')
  t.equal(leaderFor(stream(300, { salt: 'other' }), [stream(500)], 0, 299, new Map()), null, 'another tenant')
  t.end()
})

t.test('the cost model learns a line and is not misled by one slow step', t => {
  const model = new StepCostModel()
  const cost = (rows: number, depth: number) => 2 + 0.2 * rows + depth / 100_000
  t.equal(model.predict({ rows: 100, depth: 0 }), null)
  for (let i = 0; i < 60; i++) {
    const rows = 64 + ((i * 37) % 400)
    const depth = rows * ((i * 131) % 4000)
    model.observe({ rows, depth }, i === 50 ? 10_000 : cost(rows, depth))
  }
  const predicted = model.predict({ rows: 256, depth: 256 * 2000 }) as number
  const real = cost(256, 256 * 2000)
  t.ok(Math.abs(predicted - real) < real * 0.35, `${predicted} for ${real}`)
  t.end()
})

t.test('few steps of one size do not promise that large ones cost next to nothing', t => {
  const model = new StepCostModel()
  for (const ms of [74, 81, 63, 62]) model.observe({ rows: 128, depth: 128 * 64 }, ms)
  const predicted = model.predict({ rows: 512, depth: 512 * 256 }) as number
  t.ok(predicted > 150, `${predicted} ms for four times as many rows`)
  t.end()
})

t.test('what else the machine does makes steps longer, and hardly dearer', t => {
  const model = new StepCostModel()
  const shape = (i: number) => ({ rows: 64 + ((i * 37) % 200), depth: 64 * 100 })
  const cost = (rows: number) => 5 + 0.5 * rows
  for (let i = 0; i < 40; i++) model.observe(shape(i), cost(shape(i).rows))
  for (let i = 0; i < 5; i++) model.observe(shape(i), 2 * cost(shape(i).rows))
  for (let i = 0; i < 20; i++) model.observe(shape(i), cost(shape(i).rows))
  const predicted = model.predict({ rows: 128, depth: 64 * 100 }) as number
  t.ok(Math.abs(predicted - cost(128)) < cost(128) * 0.1, `${predicted} for ${cost(128)}`)
  t.end()
})

t.test(
  'the budget: small while nothing is known and somebody waits, to the target when it is, never below a chunk',
  t => {
    const budget = new StepBudget({ batchRows: 512, targetMs: 50, idleTargetMs: 200 })
    t.equal(budget.promptRows({ rows: 4, depth: 0 }, 0), 60)
    t.equal(budget.promptRows({ rows: 0, depth: 0 }, 0), 512)
    for (let i = 0; i < 40; i++) {
      const rows = 64 + ((i * 64) % 448)
      budget.observe({ rows, depth: rows * (i % 7) * 500 }, rows * 0.25)
    }
    const rows = budget.promptRows({ rows: 4, depth: 2000 }, 1000)
    t.ok(rows > 100 && rows < 260, `${rows} rows for 50 ms at 0.25 ms each`)
    const slow = new StepBudget({ batchRows: 512, targetMs: 10, idleTargetMs: 20 })
    for (let i = 0; i < 20; i++) slow.observe({ rows: 64 + i, depth: 0 }, 1000)
    t.equal(slow.promptRows({ rows: 10, depth: 0 }, 0), 54)
    t.end()
  }
)

t.test('a step may be longer where streams go on meanwhile, or a prompt is completed', t => {
  const budget = new StepBudget({ batchRows: 512, targetMs: 50, idleTargetMs: 200 })
  // A millisecond a row.
  for (let i = 0; i < 40; i++) {
    const rows = 64 + ((i * 64) % 448)
    budget.observe({ rows, depth: rows * (i % 7) * 500 }, rows)
  }
  const decode = { rows: 4, depth: 0 }
  t.equal(budget.promptRows(decode, 0, { apart: true }), 64, 'the least')
  t.equal(budget.promptRows(decode, 0, { apart: true, steady: true }), 192)
  t.equal(budget.promptRows(decode, 0, { apart: true, steady: true, rest: 230 }), 256, 'the rest of a prompt')
  t.equal(
    budget.promptRows(decode, 0, { apart: true, steady: true, rest: 400 }),
    192,
    'which is too long here'
  )
  t.equal(budget.promptRows(decode, 0, { apart: true, rest: 100 }), 64, 'and here')
  t.end()
})

t.test('next tokens beside prompts: not too often, not later than the target', t => {
  let now = 1000
  const cadence = new Cadence(100, () => now)
  t.equal(cadence.wait, 0, 'nobody has got one yet')
  cadence.given()
  t.equal(cadence.wait, 25)
  now += 20
  t.equal(cadence.wait, 5)
  cadence.gave(4)
  t.equal(cadence.wait, 40, 'a tenth of the time')
  cadence.gave(20)
  t.equal(cadence.wait, 100, 'more than that where the gap would be too long')
  now += 200
  t.equal(cadence.wait, 0)
  t.end()
})

t.test('prompts among many cells of others have a batch each', t => {
  const composer = (promptLaneCells?: number) => {
    const backend = new SimulatedBackend({ cells: 8192, batchRows: 512, device: 'CPU' })
    if (promptLaneCells) backend.capabilities.promptLaneCells = promptLaneCells
    const budget = new StepBudget({ batchRows: 512, targetMs: 1e6, idleTargetMs: 1e6 })
    return new StepComposer(backend, budget, new ReproducibleShapes(512, 0), new Cadence(100, () => 0))
  }
  const turns = [stream(1100), stream(1100)]
  for (const each of turns) each.computed = 1000
  const sizes = (batches: Chunk[][]) => batches.map(batch => batch.map(({ count }) => count))
  t.same(sizes(composer(4096).compose(turns, 1000, 6000)), [[100], [100]])
  t.same(sizes(composer().compose(turns, 1000, 6000)), [[100, 100]], 'there is no prompt lane')
  t.same(sizes(composer(512).compose(turns, 1000, 6000)), [[100, 100]], 'it is too short')
  t.same(sizes(composer(4096).compose(turns, 1000, 2000)), [[100, 100]], 'the pool is nearly empty')
  t.end()
})

t.test('streams below one deep prefix are decoded together, and with prompts', t => {
  const sizes = (device: string, length: number, used: number, prompt = 0) => {
    // One row a batch would be fastest near the beginning.
    const smallDecodeMs = [1, 5, 6, 7, 8]
    const backend = new SimulatedBackend({ cells: 32768, batchRows: 512, device, smallDecodeMs })
    const budget = new StepBudget({ batchRows: 512, targetMs: 100, idleTargetMs: 250 })
    const shapes = new ReproducibleShapes(512, 0)
    const composer = new StepComposer(backend, budget, shapes, new Cadence(100, () => 0))
    const running = Array.from({ length: 4 }, () => stream(length))
    for (const each of running) {
      each.tokens.push(1)
      each.computed = length
    }
    const waiting = prompt > 0 ? [stream(prompt)] : []
    const batches = composer.compose([...running, ...waiting], 4000, used)
    return batches.map(batch => batch.reduce((rows, { count }) => rows + count, 0))
  }
  t.same(sizes('CPU', 2100, 2400), [4])
  t.same(sizes('CPU', 2100, 8400), [1, 1, 1, 1], 'each has its own')
  t.same(sizes('CPU', 300, 400), [1, 1, 1, 1], 'the prefix is short')
  t.same(sizes('CPU', 2100, 2400, 500), [64], '60 rows of a prompt beside them')
  t.same(sizes('CPU', 2100, 8400, 500), [1, 1, 1, 1, 64])
  t.same(sizes('CPU', 300, 400, 500), [1, 1, 1, 1, 64])
  t.end()
})

t.test('reproducible chunks are cut at absolute positions, the last prompt token alone', t => {
  const shapes = new ReproducibleShapes(512, 0)
  const cold = stream(100, { reproducible: true })
  const chunks: number[] = []
  while (cold.computed < 100) {
    const count = shapes.chunk(cold, 512)
    chunks.push(count)
    cold.computed += count
  }
  t.same(chunks, [32, 32, 32, 3, 1])
  t.equal(shapes.attachLimit(cold), 96)
  t.equal(shapes.insertLimit(cold), 96)
  t.equal(shapes.chunk(stream(100, { reproducible: true }), 31), 0, 'a chunk is never split')
  t.equal(new ReproducibleShapes(512, 63).attachLimit(cold), 99, 'anywhere where small batches are invariant')
  t.end()
})
