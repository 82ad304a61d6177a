import t from 'tap'
import { EngineHarness, type Outcome, request } from './harness.js'
import { SimulatedBackend } from './simulated-backend.js'

const verdictOf = (outcome: Outcome) => {
  const first = outcome.events[0]
  return first?.type === 'verdict' ? first.verdict : undefined
}

t.test('a prompt that can never fit is too long', async t => {
  const harness = await EngineHarness.start(new SimulatedBackend({ cells: 64 }))
  t.match(verdictOf(await harness.run(request(new Array(64).fill(5)))), {
    kind: 'tooLong',
    promptTokens: 64,
    limit: 64
  })
  t.match(verdictOf(await harness.run(request(new Array(63).fill(5)))), { kind: 'admitted' })
  await harness.stop()
})

t.test('a full house is refused at once, with a time to come back', async t => {
  const harness = await EngineHarness.start(new SimulatedBackend({ delay: 2 }), { parallel: 2, maxQueue: 3 })
  const outcomes = await harness.guard(
    Promise.all(Array.from({ length: 12 }, (_, i) => harness.run(request([1 + i, 2, 3]))))
  )
  const kinds = outcomes.map(outcome => verdictOf(outcome)?.kind)
  t.equal(kinds.filter(kind => kind === 'admitted').length, 5, 'two running and three waiting')
  const refused = outcomes.map(verdictOf).find(verdict => verdict?.kind === 'full')
  t.ok(refused?.kind === 'full' && refused.retryAfterMs > 0 && refused.retryAfterMs <= 60_000)
  await harness.stop()
})

t.test('the queue is bounded in tokens as well', async t => {
  const harness = await EngineHarness.start(new SimulatedBackend({ delay: 2 }), {
    parallel: 1,
    maxQueue: 100,
    maxQueuedTokens: 100
  })
  const outcomes = await harness.guard(
    Promise.all(Array.from({ length: 6 }, (_, i) => harness.run(request(new Array(40).fill(1 + i)))))
  )
  const refused = outcomes.map(verdictOf).filter(verdict => verdict?.kind === 'full')
  t.ok(refused.length >= 2)
  t.match(refused[0], { reason: 'queued_tokens' })
  await harness.stop()
})

t.test('tokens outside the vocabulary and an empty prompt are invalid', async t => {
  const harness = await EngineHarness.start(new SimulatedBackend())
  t.match(verdictOf(await harness.run(request([]))), { kind: 'invalid', param: 'prompt' })
  t.match(verdictOf(await harness.run(request([1, 500]))), { kind: 'invalid', param: 'prompt' })
  const biased = request([1])
  biased.sampling.logitBias = [{ token: 4096, bias: 1 }]
  t.match(verdictOf(await harness.run(biased)), { kind: 'invalid', param: 'logit_bias' })
  await harness.stop()
})

t.test('draining refuses new work, finishes what runs and aborts what does not end in time', async t => {
  const harness = await EngineHarness.start(new SimulatedBackend({ cells: 4096, delay: 2 }), { parallel: 2 })
  const short = harness.submit(request([1, 2, 3], { maxTokens: 12, ignoreEndOfText: true }))
  const endless = harness.submit(request([4, 5, 6], { maxTokens: null, ignoreEndOfText: true }))
  await new Promise(resolve => setTimeout(resolve, 10))
  const drained = harness.engine.drain(200)
  t.match(verdictOf(await harness.run(request([7]))), { kind: 'draining' })
  t.same(await drained, { finished: 1, aborted: 1, spilledBytes: 0 })
  t.equal((await short.done).events.at(-1)?.type, 'end')
  t.match((await endless.done).events.at(-1), { type: 'failed', code: 'draining' })
  await harness.stop()
})

t.test('a drain ends with the last request, not with its timeout', async t => {
  const harness = await EngineHarness.start(new SimulatedBackend({ delay: 2 }))
  const running = harness.submit(request([1, 2, 3], { maxTokens: 12, ignoreEndOfText: true }))
  await new Promise(resolve => setTimeout(resolve, 5))
  const began = performance.now()
  t.same(await harness.engine.drain(10_000), { finished: 1, aborted: 0, spilledBytes: 0 })
  t.ok(performance.now() - began < 5000)
  t.equal((await running.done).finish[0], 'length')
  await harness.stop()
})

t.test('deadlines end a request with their own code', async t => {
  const harness = await EngineHarness.start(new SimulatedBackend({ cells: 4096, delay: 2 }), { parallel: 1 })
  const deadlines = { queue: null, firstToken: null, total: null }
  const running = harness.submit(
    request([1, 2], { maxTokens: null, ignoreEndOfText: true, deadlines: { ...deadlines, total: 150 } })
  )
  const queued = harness.submit(request([3, 4], { deadlines: { ...deadlines, queue: 40 } }))
  const unanswered = harness.submit(request([5, 6], { deadlines: { ...deadlines, firstToken: 60 } }))
  t.match((await queued.done).events.at(-1), { type: 'failed', code: 'queue_timeout' })
  t.match((await unanswered.done).events.at(-1), { type: 'failed', code: 'first_token_timeout' })
  t.match((await running.done).events.at(-1), { type: 'failed', code: 'total_timeout' })
  await harness.stop()
})
