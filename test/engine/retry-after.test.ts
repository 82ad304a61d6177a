import t from 'tap'
import { Admission } from '../../src/engine/admission.js'
import type { Verdict } from '../../src/engine/messages.js'
import { Scheduler } from '../../src/engine/scheduler/scheduler.js'
import { Stream } from '../../src/engine/scheduler/stream.js'
import { EngineHarness, request } from './harness.js'
import { SimulatedBackend } from './simulated-backend.js'

/** An admission with a clock that stands still, and whether somebody is here. */
function fixture(maxQueue: number) {
  const clock = { now: 1000 }
  const backend = new SimulatedBackend()
  const scheduler = new Scheduler(backend, {
    parallel: 1,
    answerReserve: 16,
    targetMs: 100,
    idleTargetMs: 250,
    reproducible: false,
    now: () => clock.now
  })
  const { capabilities, info } = backend
  const limits = { maxQueue, maxQueuedTokens: null }
  const admission = new Admission(scheduler, limits, capabilities, info.vocabularySize, () => clock.now)
  return { clock, scheduler, admission }
}

const prompt = Int32Array.from([1, 2, 3])

function waiting(): Stream {
  return new Stream({
    promptTokens: prompt,
    salt: '',
    tenant: '',
    priority: 0,
    arrived: 0,
    maxTokens: 4,
    cachePrompt: false,
    reproducible: false,
    anchors: []
  })
}

function retryAfter(verdict: Verdict | null): number {
  if (verdict?.kind !== 'full') throw new Error(`not full: ${verdict?.kind}`)
  return verdict.retryAfterMs
}

t.test('who is refused together is not told to come back together', async t => {
  const { clock, scheduler, admission } = fixture(0)
  scheduler.add(waiting())
  scheduler.add(waiting())
  for (let i = 0; i < 20; i++) {
    clock.now += 100
    admission.onFinish()
  }
  const times = Array.from({ length: 5 }, () => retryAfter(admission.onArrival(request([1]))))
  t.same(times, [500, 600, 700, 800, 900], 'one finished request apart, after the least wait')
  for (let i = 0; i < 2000; i++) admission.onArrival(request([1]))
  t.equal(retryAfter(admission.onArrival(request([1]))), 60_000)
  clock.now += 3_600_000
  t.equal(retryAfter(admission.onArrival(request([1]))), 500, 'who did not come back is forgotten')
})

t.test('idle time is not taken for slowness', async t => {
  const { clock, scheduler, admission } = fixture(0)
  admission.onTokenized(prompt)
  admission.onFinish()
  clock.now += 3_600_000
  t.equal(admission.onTokenized(prompt).kind, 'admitted')
  clock.now += 100
  admission.onFinish()
  scheduler.add(waiting())
  scheduler.add(waiting())
  t.ok(retryAfter(admission.onArrival(request([1]))) <= 1000)
})

t.test('verdicts tell the state of the queue', async t => {
  const { scheduler, admission } = fixture(1)
  const empty = { running: 0, waiting: 0, maxWaiting: 1, waitingTokens: 0, maxWaitingTokens: null }
  t.same(admission.onTokenized(prompt), { kind: 'admitted', promptTokens: 3, queue: empty })
  for (let i = 0; i < 2; i++) scheduler.add(waiting())
  t.match(admission.onArrival(request([1])), { kind: 'full', queue: { waiting: 2, waitingTokens: 6 } })
})

t.test('the queue is empty as soon as those in it have left, even in the middle of a step', async t => {
  const harness = await EngineHarness.start(new SimulatedBackend({ cells: 4096, delay: 50 }), {
    parallel: 1,
    maxQueue: 4
  })
  const long = { maxTokens: 30, ignoreEndOfText: true }
  const clients = Array.from({ length: 5 }, (_, i) => harness.submit(request([1 + i, 2], long)))
  await new Promise(resolve => setTimeout(resolve, 20))
  const refused = await harness.run(request([9]))
  t.match(refused.events[0], { verdict: { kind: 'full', queue: { waiting: 4 } } })
  for (const { id } of clients) harness.cancel(id)
  const next = await harness.run(request([9], { maxTokens: 2 }))
  t.match(next.events[0], { verdict: { kind: 'admitted', queue: { waiting: 0 } } })
  await harness.stop()
})
