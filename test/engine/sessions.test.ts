import t from 'tap'
import { count } from '../support/counts.js'
import { EngineHarness, request } from './harness.js'
import { expectedAnswer, SimulatedBackend } from './simulated-backend.js'

t.test('many more sessions than sequence ids take turns', async t => {
  const sessions = count(300, 1000)
  t.comment(`${sessions} sessions, 3 turns each, on 256 ids`)
  const backend = new SimulatedBackend({ cells: 4096, sequenceIds: 256, batchRows: 256 })
  const harness = await EngineHarness.start(backend, { parallel: 32, maxQueue: 2000, checkEveryStep: false })
  const histories = Array.from({ length: sessions }, (_, i) => [
    ...Array.from({ length: 12 }, (_, k) => 1 + k),
    1 + (i % 100),
    1 + Math.floor(i / 100)
  ])
  for (let turn = 0; turn < 3; turn++) {
    const outcomes = await harness.guard(
      Promise.all(histories.map(history => harness.run(request(history, { maxTokens: 5 }))))
    )
    let wrong = 0
    for (const [i, outcome] of outcomes.entries()) {
      const answer = expectedAnswer(histories[i]!, 5)
      if ((outcome.text[0] ?? '') !== Buffer.from(answer).toString()) wrong++
      histories[i]!.push(...answer, 7, 1 + turn)
    }
    t.equal(wrong, 0, `turn ${turn + 1}: every session got its own answer`)
    t.same(harness.engine.check(), [])
  }
  t.ok(harness.engine.stats().counters.cachedTokens.resident > 0)
  await harness.stop()
})

t.test('nobody starves: with one slot all are served, higher priority first, then by arrival', async t => {
  const backend = new SimulatedBackend({ cells: 512 })
  const harness = await EngineHarness.start(backend, { parallel: 1 })
  const order: string[] = []
  const jobs = ['a', 'b', 'urgent', 'c'].map((name, i) =>
    harness
      .run(request([50 + i, 3, 4], { maxTokens: 3, priority: name === 'urgent' ? 1 : 0 }))
      .then(() => order.push(name))
  )
  await harness.guard(Promise.all(jobs))
  t.same(order, ['urgent', 'a', 'b', 'c'])
  await harness.stop()
})

t.test('followers survive their leader', async t => {
  const backend = new SimulatedBackend({ cells: 2048, batchRows: 16 })
  const harness = await EngineHarness.start(backend, { parallel: 8 })
  const shared = Array.from({ length: 200 }, (_, i) => 1 + (i % 90))
  const leader = harness.submit(request([...shared, 1]))
  const followers = [2, 3, 4].map(own => harness.submit(request([...shared, own], { maxTokens: 4 })))
  for (let i = 0; i < 12; i++) await new Promise(resolve => setImmediate(resolve))
  t.ok(harness.engine.scheduler.running.length >= 1)
  harness.cancel(leader.id)
  const outcomes = await harness.guard(Promise.all(followers.map(each => each.done)))
  for (const [i, outcome] of outcomes.entries()) {
    t.equal(outcome.text[0], Buffer.from(expectedAnswer([...shared, i + 2], 4)).toString())
  }
  t.ok(harness.engine.stats().counters.promptTokens < 300, 'what the leader computed was inherited')
  await harness.stop()
})

t.test('nobody waits for a prefix that its stream will not leave behind', async t => {
  const backend = new SimulatedBackend({ cells: 2048, batchRows: 16 })
  const harness = await EngineHarness.start(backend, { parallel: 8 })
  const shared = Array.from({ length: 200 }, (_, i) => 1 + (i % 90))
  const alone = harness.submit(request([...shared, 1], { reproducible: true, maxTokens: 4 }))
  const other = harness.submit(request([...shared, 2], { maxTokens: 4 }))
  for (let i = 0; i < 12; i++) await new Promise(resolve => setImmediate(resolve))
  t.equal(harness.engine.scheduler.running.length, 2, 'both run')
  const outcomes = await harness.guard(Promise.all([alone.done, other.done]))
  for (const [i, outcome] of outcomes.entries()) {
    t.equal(outcome.text[0], Buffer.from(expectedAnswer([...shared, i + 1], 4)).toString())
  }
  await harness.stop()
})
