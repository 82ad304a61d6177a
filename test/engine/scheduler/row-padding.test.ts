import t from 'tap'
import { RowPadding } from '../../../src/engine/scheduler/row-padding.js'
import { StepCostModel } from '../../../src/engine/scheduler/step-cost.js'
import type { Chunk } from '../../../src/engine/scheduler/step-plan.js'
import { Stream } from '../../../src/engine/scheduler/stream.js'
import { EngineHarness, request } from '../harness.js'
import { expectedAnswer, SimulatedBackend } from '../simulated-backend.js'
import { openStore } from '../tiers/support.js'

/** A CPU: deep in a context a row costs 5 ms where there are few, and 1.3 ms from 64 on. */
function learnt(model = new StepCostModel()): StepCostModel {
  for (let i = 0; i < 60; i++) {
    const few = { rows: 1 + ((i * 7) % 60), depth: 0 }
    few.depth = few.rows * ((i * 531) % 6000)
    model.observe(few, 2 + 0.5 * few.rows + few.depth / 800)
    const many = { rows: 64 + ((i * 64) % 448), depth: 0 }
    many.depth = many.rows * ((i * 377) % 6000)
    model.observe(many, 5 + 0.4 * many.rows + many.depth / 4000)
  }
  return model
}

const tokens = (length: number) => Array.from({ length }, (_, i) => 1 + ((i * 31) % 100))

function chunk(from: number, count: number, reproducible = false): Chunk {
  const stream = new Stream({
    promptTokens: tokens(from + count),
    maxTokens: 10,
    priority: 0,
    tenant: '',
    salt: '',
    reproducible,
    cachePrompt: true,
    arrived: 0
  })
  return { stream, from, count, output: true }
}

t.test('a short end far down a prompt is filled up to a tile, and nothing else is', t => {
  const cpu = new RowPadding(new SimulatedBackend({ cells: 8192, batchRows: 512, device: 'CPU' }), learnt())
  t.equal(cpu.rowsFor([chunk(4000, 30)], 1000), 34)
  t.equal(cpu.rowsFor([chunk(4000, 60)], 1000), 4)
  t.equal(cpu.rowsFor([chunk(4000, 30)], 33), 0, 'there is no room')
  t.equal(cpu.rowsFor([chunk(4000, 4)], 1000), 0, 'four rows cost less than 64')
  t.equal(cpu.rowsFor([chunk(0, 30)], 1000), 0, 'nor is it worth it at the beginning')
  t.equal(cpu.rowsFor([chunk(4000, 64)], 1000), 0)
  t.equal(cpu.rowsFor([chunk(4000, 30, true)], 1000), 0, 'reproducible rows keep their shapes')
  const streams = Array.from({ length: 32 }, () => chunk(4000, 1))
  t.equal(cpu.rowsFor(streams, 1000), 0, 'next tokens of many streams have no tile in common')
  const unknown = new RowPadding(new SimulatedBackend({ batchRows: 512, device: 'CPU' }), new StepCostModel())
  t.equal(unknown.rowsFor([chunk(4000, 30)], 1000), 0)
  const gpu = new RowPadding(new SimulatedBackend({ batchRows: 512, device: 'Metal' }), learnt())
  t.equal(gpu.rowsFor([chunk(4000, 30)], 1000), 0)
  t.end()
})

t.test('rows that fill up a batch leave nothing behind', async t => {
  const backend = new SimulatedBackend({ cells: 8192, batchRows: 256, device: 'CPU' })
  const harness = await EngineHarness.start(backend, { contextCells: 8192, batchRows: 256 }, openStore(null))
  learnt(harness.engine.scheduler.budget.cost)
  const sizes: number[] = []
  const decode = backend.decode.bind(backend)
  backend.decode = () => {
    sizes.push(backend.batch.rows.length)
    return decode()
  }
  const prompt = tokens(3000)
  await harness.guard(harness.run(request(prompt, { maxTokens: 1 })))
  sizes.length = 0
  const longer = [...prompt, ...tokens(40)]
  const outcome = await harness.guard(harness.run(request(longer, { maxTokens: 4 })))
  t.equal(sizes[0], 64)
  t.equal(outcome.text[0], Buffer.from(expectedAnswer(longer, 4)).toString('utf8'))
  t.same(harness.engine.check(), [])
  await harness.stop()
})
