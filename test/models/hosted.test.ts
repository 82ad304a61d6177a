import { readFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { RequestEvent } from '../../src/engine/messages.js'
import { systemClock } from '../../src/models/clock.js'
import type { HostedModel } from '../../src/models/hosted-model.js'
import { createModels, type ModelOptions, type ModelsOptions } from '../../src/models/registry.js'
import { type Engine, ModelUnavailableError } from '../../src/models/types.js'
import { alive, FakeClock, fakeEngine, hosted, silent, until } from './helpers.js'
import { generationRequest } from './messages.js'

type Entry = Partial<ModelOptions> & { id: string; bytes?: number; is?: Record<string, string | number> }

function serve(t: Test, entries: Entry[], more: Partial<ModelsOptions> = {}) {
  const clock = new FakeClock()
  const pids = new Set<number>()
  const models = createModels({
    models: entries.map(({ is, bytes, ...entry }) => ({ ...hosted(is, bytes), ...entry })),
    entry: fakeEngine,
    logger: silent,
    clock,
    ...more,
    bounds: { exitMs: 300, patienceMs: 1000, ...more.bounds }
  })
  models.events.on('state', ({ model }) => {
    if (model.pid !== undefined) pids.add(model.pid)
  })
  t.teardown(async () => {
    await models.drain({ timeoutMs: 100 })
    if ([...pids].some(alive)) throw new Error('a process is left')
  })
  return { models, clock, model: models.list()[0]! }
}

/** Types of all events of one request. */
function ask(engine: Engine): { events: RequestEvent[]; done: Promise<string> } {
  const events: RequestEvent[] = []
  const done = new Promise<string>(resolve => {
    engine.submit(generationRequest(), event => {
      events.push(event)
      const refused = event.type === 'verdict' && event.verdict.kind !== 'admitted'
      if (event.type === 'end' || event.type === 'failed' || refused) resolve(event.type)
    })
  })
  return { events, done }
}

async function answered(model: HostedModel): Promise<string> {
  return ask(await model.engine()).done
}

async function refused(promise: Promise<unknown>): Promise<ModelUnavailableError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error
  )
  if (!(error instanceof ModelUnavailableError)) throw new Error(`not refused: ${error}`)
  return error
}

function counter(t: Test): string {
  return path.join(t.testdir({}), 'starts')
}

t.test('an idle model is unloaded after its time, and comes back for whoever asks', async t => {
  const { model, clock } = serve(t, [{ id: 'a' }], { times: { ttlMs: 60_000, onDemandTtlMs: 10_000 } })
  t.equal(await answered(model), 'end')
  clock.advance(9_999)
  t.equal(model.state, 'ready')
  clock.advance(1)
  await until('unloaded', () => model.state === 'unloaded')
  t.equal(await answered(model), 'end')
})

t.test('loaded at start, or by an administrator, it stays longer', async t => {
  const { model, clock } = serve(t, [{ id: 'a' }], { times: { ttlMs: 60_000, onDemandTtlMs: 10_000 } })
  await model.load()
  clock.advance(59_999)
  t.equal(model.state, 'ready')
  clock.advance(3000)
  await until('unloaded', () => model.state === 'unloaded')
})

t.test('never while it works: the time counts from the last answer', async t => {
  const { model, clock } = serve(t, [{ id: 'a', ttlMs: 10_000 }])
  const generation = (await model.engine()).submit(generationRequest('keep'), () => {})
  clock.advance(100_000)
  t.equal(model.state, 'ready')
  t.equal(model.active, 1)
  generation.cancel()
  clock.advance(9_999)
  t.equal(model.state, 'ready')
  clock.advance(1)
  await until('unloaded', () => model.state === 'unloaded')
})

for (const [why, entry] of [
  ['pinned', { pinned: true, ttlMs: 1000 }],
  ['with no time', { ttlMs: 0 }]
] as const) {
  t.test(`never when ${why}`, async t => {
    const { model, clock } = serve(t, [{ id: 'a', ...entry }])
    await answered(model)
    clock.advance(1e9)
    t.equal(model.state, 'ready')
  })
}

t.test('who asks while it is being unloaded gets it back', async t => {
  const { model } = serve(t, [{ id: 'a' }])
  await answered(model)
  const unloading = model.unload({ timeoutMs: 1000 })
  t.equal(model.state, 'draining')
  t.equal(await answered(model), 'end')
  await unloading
  t.equal(model.state, 'ready')
})

t.test('a request sent to an engine that is going moves to the next one', async t => {
  const { model } = serve(t, [{ id: 'a' }])
  const engine = await model.engine()
  void model.unload({ timeoutMs: 1000 })
  const { events, done } = ask(engine)
  t.equal(await done, 'end')
  t.equal(events.filter(event => event.type === 'verdict').length, 1)
})

t.test('an engine that dies before the first text: its client does not notice', async t => {
  const file = counter(t)
  // Two events: verdict and start.
  const { model } = serve(t, [{ id: 'a', is: { run: 'crash', events: 2, counter: file, good: 2 } }])
  const { events, done } = ask(await model.engine())
  t.equal(await done, 'end')
  t.same(
    events.map(event => event.type),
    ['verdict', 'started', 'text', 'text', 'text', 'finish', 'end']
  )
  t.equal(readFileSync(file).length, 2)
})

t.test('but a request that kills every engine is given up after the second', async t => {
  const file = counter(t)
  const { model } = serve(t, [{ id: 'a', is: { run: 'crash', events: 2, counter: file } }])
  const { events, done } = ask(await model.engine())
  t.equal(await done, 'failed')
  t.match(events.at(-1), { type: 'failed', code: 'engine_crashed' })
  t.equal(readFileSync(file).length, 2)
})

t.test('after the first text a crash is a failure', async t => {
  const { model } = serve(t, [{ id: 'a', is: { run: 'crash', events: 3 } }])
  const { events, done } = ask(await model.engine())
  t.equal(await done, 'failed')
  t.same(
    events.map(event => event.type),
    ['verdict', 'started', 'text', 'failed']
  )
})

t.test('a cancelled request does not come back with the next engine', async t => {
  const { model } = serve(t, [{ id: 'a' }])
  const engine = await model.engine()
  const events: string[] = []
  const generation = engine.submit(generationRequest('keep'), event => events.push(event.type))
  await until('admitted', () => events.length === 1)
  generation.cancel()
  process.kill(model.pid!, 'SIGKILL')
  t.equal(await answered(model), 'end')
  t.same(events, ['verdict'])
  t.equal(model.active, 0)
})

for (const run of ['stuck', 'frozen']) {
  t.test(`an engine that is ${run} is ended and started again`, async t => {
    const file = counter(t)
    const { model, clock } = serve(t, [{ id: 'a', is: { run, counter: file, good: 2 } }], {
      bounds: { heartbeatMs: 1000, stepMs: 2000 }
    })
    const engine = await model.engine()
    const { pid } = model
    const { done } = ask(engine)
    await new Promise(resolve => setTimeout(resolve, 50))
    const looking = setInterval(() => clock.advance(200), 20)
    t.equal(await done, 'end')
    clearInterval(looking)
    t.notOk(alive(pid!))
    t.equal(model.restarts, 1)
  })
}

t.test('an engine that is only slow is left alone', async t => {
  const bounds = { heartbeatMs: 2000, stepMs: 600 }
  const { model } = serve(t, [{ id: 'a', is: { run: 'slow', ms: 120 } }], { bounds, clock: systemClock })
  const began = performance.now()
  t.equal(await answered(model), 'end')
  t.ok(performance.now() - began > 600)
  t.equal(model.restarts, 0)
})

t.test('a paused request keeps no engine from being healthy', async t => {
  const { model, clock } = serve(t, [{ id: 'a', is: { run: 'stuck' } }], {
    bounds: { heartbeatMs: 100_000, stepMs: 2000 }
  })
  const generation = (await model.engine()).submit(generationRequest(), () => {})
  generation.pause()
  for (let i = 0; i < 50; i++) {
    clock.advance(200)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  t.equal(model.restarts, 0)
  generation.cancel()
})

t.test('a load that takes too long: the caller is told, the load goes on', async t => {
  const { model, clock } = serve(t, [{ id: 'a', is: { load: 'hang' } }], { times: { loadTimeoutMs: 2000 } })
  const waiting = refused(model.engine())
  await until('loading', () => model.progress === 0.5)
  t.match(model.loading, { state: 'loading', progress: 0.5 })
  clock.advance(2000)
  t.match(await waiting, { failure: { code: 'model_load_timeout' } })
  t.equal(model.state, 'loading')
})

t.test('the least recently used model makes room', async t => {
  const { models, clock } = serve(t, [{ id: 'a' }, { id: 'b' }, { id: 'c' }], { memoryBudget: () => 250 })
  const [a, b, c] = models.list() as [HostedModel, HostedModel, HostedModel]
  for (const model of [a, b, a]) {
    await answered(model)
    clock.advance(10)
  }
  t.same(models.memory, { budget: 250, used: 200 })
  t.equal(await answered(c), 'end')
  t.same([a.state, b.state, c.state], ['ready', 'unloaded', 'ready'])
})

t.test('never a pinned one, never one in use: who finds no room waits', async t => {
  const { models } = serve(t, [{ id: 'a', pinned: true }, { id: 'b' }, { id: 'c' }], {
    memoryBudget: () => 250
  })
  const [a, b, c] = models.list() as [HostedModel, HostedModel, HostedModel]
  await answered(a)
  const working = (await b.engine()).submit(generationRequest('keep'), () => {})
  const waiting = answered(c)
  await new Promise(resolve => setTimeout(resolve, 100))
  t.same([a.state, b.state, c.state], ['ready', 'ready', 'loading'])
  t.match(c.loading, { state: 'waiting' })
  working.cancel()
  t.equal(await waiting, 'end')
  t.same([a.state, b.state, c.state], ['ready', 'unloaded', 'ready'])
})

t.test('a model that can never fit is refused with the figures', async t => {
  const { models } = serve(t, [{ id: 'a' }, { id: 'big', bytes: 10 * 2 ** 30 }], {
    memoryBudget: () => 2 ** 30
  })
  const error = await refused(models.get('big')!.engine())
  t.match(error, { retryAfterMs: null, failure: { code: 'too_large' } })
  t.match(error.message, /big takes 10\.0 GiB of memory, models may take 1\.0 GiB/)
})

t.test('a load that fails gives its memory back', async t => {
  const { models } = serve(t, [{ id: 'bad', is: { load: 'failed' } }, { id: 'a' }], {
    memoryBudget: () => 150
  })
  await refused(models.get('bad')!.engine())
  t.equal(models.memory.used, 0)
  t.equal(await answered(models.get('a')!), 'end')
})

t.test('memory that is missing in spite of the plan: another model makes room', async t => {
  const file = counter(t)
  const { models } = serve(t, [
    { id: 'a' },
    { id: 'b', is: { load: 'failed', code: 'out_of_memory', counter: file, good: 2 } }
  ])
  const [a, b] = models.list() as [HostedModel, HostedModel]
  await answered(a)
  t.equal(await answered(b), 'end')
  t.same([a.state, b.state], ['unloaded', 'ready'])
})

t.test('20 clients ask for 20 models at once, and memory holds three: all are served', async t => {
  const entries = Array.from({ length: 20 }, (_, i) => ({ id: `m${i}` }))
  const { models } = serve(t, entries, { memoryBudget: () => 300 })
  const results = await Promise.all(models.list().map(answered))
  t.same(new Set(results), new Set(['end']))
  t.equal(models.list().filter(model => model.state === 'ready').length, 3)
  t.ok(models.memory.used <= 300)
})

t.test('100 models are listed in no time', async t => {
  const entries = Array.from({ length: 100 }, (_, i) => ({ id: `m${i}` }))
  const { models } = serve(t, entries)
  const began = performance.now()
  const list = models.list().map(({ id, state, loading, failure }) => ({ id, state, loading, failure }))
  t.ok(performance.now() - began < 5)
  t.equal(list.length, 100)
})

t.test('the estimate follows what loads took', async t => {
  const { model } = serve(t, [{ id: 'a', is: { load: 'slow' } }])
  const loading = model.engine()
  t.match(model.loading, { estimatedMs: 400 })
  await loading
  t.equal(model.loading, null)
})
