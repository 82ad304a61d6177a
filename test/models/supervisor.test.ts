import { EventEmitter } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { EngineConfig, RequestEvent } from '../../src/engine/messages.js'
import type { ModelEvents } from '../../src/models/events.js'
import { SupervisedModel } from '../../src/models/supervisor.js'
import type { Bounds, SupervisorOptions } from '../../src/models/supervisor-options.js'
import { type Engine, ModelUnavailableError } from '../../src/models/types.js'
import { alive, FakeClock, fakeEngine, silent, until } from './helpers.js'
import { engineConfig, generationRequest } from './messages.js'

type Behaviour = Record<string, string | number>
interface Options extends Omit<Partial<SupervisorOptions>, 'bounds'> {
  bounds?: Partial<Bounds>
  config?: EngineConfig
}

function starts(counter: string): number {
  return readFileSync(counter).length
}

function supervise(t: Test, behaviour: Behaviour = {}, more: Options = {}) {
  const clock = new FakeClock()
  const events = new EventEmitter<ModelEvents>()
  const states: string[] = []
  const delays: number[] = []
  const pids = new Set<number>()
  const note = ({ pid }: SupervisedModel) => {
    if (pid !== undefined) pids.add(pid)
  }
  events.on('state', ({ model, to }) => {
    states.push(to)
    note(model)
  })
  events.on('progress', ({ model }) => note(model))
  events.on('restart', ({ delayMs }) => delays.push(delayMs))
  const bounds = { exitMs: 300, patienceMs: 0, ...more.bounds }
  const config = more.config ?? engineConfig(behaviour)
  const model = new SupervisedModel(
    { id: 'm', file: config.model, config: () => config },
    { entry: fakeEngine, logger: silent, events, clock, ...more, bounds }
  )
  t.teardown(async () => {
    await model.close({ timeoutMs: 100 })
    if ([...pids].some(alive)) throw new Error('a process is left')
  })
  return { model, clock, events, states, delays }
}

/** Each start of the engine writes to this file, so the fake can be in order from the n-th on. */
function counter(t: Test): string {
  return path.join(t.testdir({}), 'starts')
}

async function unavailable(promise: Promise<Engine>): Promise<ModelUnavailableError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error
  )
  if (!(error instanceof ModelUnavailableError)) throw new Error(`not refused: ${error}`)
  return error
}

function ask(engine: Engine): Promise<string> {
  return new Promise(resolve => {
    engine.submit(generationRequest(), (event: RequestEvent) => {
      if (event.type === 'end' || event.type === 'failed') resolve(event.type)
    })
  })
}

async function killed(model: SupervisedModel, then = 'ready'): Promise<void> {
  const pid = model.pid!
  process.kill(pid, 'SIGKILL')
  await until(`${then} again`, () => model.state === then && model.pid !== pid)
}

t.test('loaded means that a token has been generated', async t => {
  const { model, states } = supervise(t, { load: 'slow' })
  t.equal(model.state, 'unloaded')
  t.equal(model.info, null)
  const engine = await model.engine()
  t.equal(await ask(engine), 'end')
  t.same(states, ['loading', 'ready'])
  t.equal(model.progress, 1)
  t.equal(model.info?.name, 'fake')
  t.equal(model.config?.contextCells, 4096)
  t.equal(await model.engine(), engine)
})

t.test('50 callers share one load', async t => {
  const file = counter(t)
  const { model, events } = supervise(t, { load: 'slow', counter: file, good: 99 })
  const engines = await Promise.all(Array.from({ length: 50 }, () => model.engine()))
  t.equal(new Set(engines).size, 1)
  t.equal(starts(file), 1)
  t.equal(events.listenerCount('progress'), 1, 'this test itself')
})

t.test('a crash: started again at once, and the next request is served', async t => {
  const { model, states, delays } = supervise(t)
  const dead = await model.engine()
  process.kill(model.pid!, 'SIGKILL')
  await until('noticed', () => model.state !== 'ready')
  const engine = await model.engine()
  t.not(engine, dead)
  t.equal(await ask(engine), 'end')
  t.equal(model.restarts, 1)
  t.equal(model.failure, null)
  t.same(delays, [0])
  t.same(states, ['loading', 'ready', 'failed', 'loading', 'ready'])
})

t.test('the exit is told: signal and last lines', async t => {
  const { model, events } = supervise(t)
  await model.engine()
  const died = new Promise<ModelEvents['died'][0]>(resolve => events.once('died', resolve))
  process.kill(model.pid!, 'SIGSEGV')
  t.match((await died).exit, { signal: 'SIGSEGV' })
})

t.test('crash after crash: pauses grow, callers are told how long, the fifth opens the breaker', async t => {
  const { model, clock, delays } = supervise(t)
  await model.engine()
  await killed(model)
  for (const pause of [500, 1000, 2000]) {
    process.kill(model.pid!, 'SIGKILL')
    await until('failed', () => model.state === 'failed')
    t.same(clock.pending, [pause])
    t.equal((await unavailable(model.engine())).retryAfterMs, pause)
    clock.advance(pause)
    await until('ready', () => model.state === 'ready')
  }
  process.kill(model.pid!, 'SIGKILL')
  await until('open', () => model.breaker === 'open')
  clock.advance(20_000)
  const refused = await unavailable(model.engine())
  t.equal(refused.retryAfterMs, 40_000)
  t.match(refused.failure, { code: 'engine_crashed' })
  t.same(delays, [0, 500, 1000, 2000, 60_000])
  t.equal((await unavailable(model.load())).retryAfterMs, 40_000, 'also for who insists')

  clock.advance(40_000)
  t.equal(model.breaker, 'half_open')
  await model.engine()
  t.equal(model.breaker, 'closed')
  t.equal(model.restarts, 5)
})

t.test('a probe that fails opens the breaker again', async t => {
  const file = counter(t)
  const { model, clock } = supervise(
    t,
    { load: 'crash', counter: file, good: 4 },
    { breaker: { failures: 2, openMs: 1000 }, backoff: { baseMs: 10 } }
  )
  t.equal((await unavailable(model.engine())).retryAfterMs, 1000)
  t.equal(model.breaker, 'open')
  t.equal(starts(file), 2, 'the first and one restart at once')
  clock.advance(1000)
  t.equal(model.breaker, 'half_open')
  await until('open', () => model.breaker === 'open')
  t.equal(starts(file), 3)
  clock.advance(999)
  t.equal(model.breaker, 'open')
  clock.advance(1)
  await model.engine()
  t.equal(model.breaker, 'closed')
  t.equal(starts(file), 4)
})

t.test('a healthy minute: what was before is forgotten', async t => {
  const { model, clock, delays } = supervise(t)
  await model.engine()
  for (let i = 0; i < 7; i++) {
    clock.advance(60_000)
    await killed(model)
  }
  t.same(delays, Array(7).fill(0))
  t.equal(model.breaker, 'closed')
})

t.test('short of a healthy minute it counts', async t => {
  const { model, clock, delays } = supervise(t)
  await model.engine()
  clock.advance(59_999)
  await killed(model)
  clock.advance(59_999)
  process.kill(model.pid!, 'SIGKILL')
  await until('failed', () => model.state === 'failed')
  t.same(delays, [0, 500])
})

t.test('who is patient waits over restarts that come soon', async t => {
  const { model, clock } = supervise(
    t,
    { load: 'crash', counter: counter(t), good: 3 },
    { bounds: { patienceMs: 600 } }
  )
  const waiting = model.engine()
  await until('the second pause', () => clock.pending[0] === 500)
  const joined = model.engine()
  clock.advance(500)
  t.equal(await joined, await waiting)
})

t.test('and is told when it takes longer than that', async t => {
  const { model, clock } = supervise(t, { load: 'crash' }, { bounds: { patienceMs: 600 } })
  const waiting = unavailable(model.engine())
  await until('the second pause', () => clock.pending[0] === 500)
  clock.advance(500)
  const refused = await waiting
  t.equal(refused.retryAfterMs, 1000)
  t.match(refused.failure.message, /SIGKILL: GGML_ASSERT/)
})

t.test('no engine is started while the one before it lives', async t => {
  const { model } = supervise(t, { run: 'leave' })
  const engine = await model.engine()
  const pid = model.pid!
  t.equal(await ask(engine), 'failed')
  t.ok(alive(pid))
  const next = model.engine()
  await until('a new process', () => model.pid !== undefined)
  t.notOk(alive(pid))
  t.not(await next, engine)
})

for (const stage of ['load', 'verify']) {
  t.test(`a crash while ${stage} is under way is restarted`, async t => {
    const { model } = supervise(
      t,
      { [stage]: 'crash', counter: counter(t), good: 2 },
      { bounds: { patienceMs: 1000 } }
    )
    t.equal(await ask(await model.engine()), 'end')
    t.equal(model.restarts, 1)
  })
}

for (const verify of ['refuse', 'empty']) {
  t.test(`a model whose first token fails (${verify}) is not loaded`, async t => {
    const { model, states } = supervise(t, { verify })
    t.equal((await unavailable(model.engine())).failure.code, 'verification_failed')
    t.notOk(states.includes('ready'))
  })
}

for (const code of ['load_failed', 'vocabulary_only', 'layout_mismatch', 'library_missing']) {
  t.test(`${code} is not tried again`, async t => {
    const file = counter(t)
    const { model, clock, delays } = supervise(t, { load: 'failed', code, counter: file })
    const refused = await unavailable(model.engine())
    t.match(refused, { retryAfterMs: null, failure: { code } })
    clock.advance(3_600_000)
    for (let i = 0; i < 3; i++) t.equal((await unavailable(model.engine())).retryAfterMs, null)
    t.equal(starts(file), 1)
    t.same(delays, [])
    t.equal(model.state, 'failed')
    await unavailable(model.load())
    t.equal(starts(file), 2, 'unless somebody insists')
  })
}

t.test('a file that was changed is tried again', async t => {
  const folder = t.testdir({})
  const starts = path.join(folder, 'starts')
  const config = engineConfig({ load: 'failed', counter: starts, good: 2 })
  const file = path.join(folder, config.model)
  const { model } = supervise(t, {}, { config: { ...config, model: file } })
  t.equal((await unavailable(model.engine())).retryAfterMs, null)
  t.equal((await unavailable(model.engine())).retryAfterMs, null)
  writeFileSync(file, 'a better file')
  await model.engine()
  t.equal(model.state, 'ready')
})

t.test('memory that was missing: nothing happens by itself, who asks after a pause tries again', async t => {
  const file = counter(t)
  const { model, clock } = supervise(t, { load: 'failed', code: 'out_of_memory', counter: file, good: 2 })
  t.equal((await unavailable(model.engine())).retryAfterMs, 60_000)
  clock.advance(59_000)
  t.equal((await unavailable(model.engine())).retryAfterMs, 1000)
  clock.advance(1000)
  t.equal(starts(file), 1)
  await model.engine()
  t.equal(starts(file), 2)
})

t.test('a load that hangs is ended after its bound without a sign of life', async t => {
  const { model, clock } = supervise(t, { load: 'hang' }, { bounds: { loadStallMs: 1000 } })
  const refused = unavailable(model.engine())
  await until('half loaded', () => model.progress === 0.5)
  const { pid } = model
  clock.advance(1000)
  t.equal((await refused).failure.code, 'load_stalled')
  t.notOk(alive(pid!))
})

t.test('drain while loading: callers are told, the process is gone, loading again works', async t => {
  const { model, states } = supervise(t, { load: 'slow' })
  const refused = unavailable(model.engine())
  await until('started', () => model.progress > 0)
  t.same(await model.drain({ timeoutMs: 5000 }), { finished: 0, aborted: 0, spilledBytes: 0 })
  t.match(await refused, { failure: { code: 'draining' }, retryAfterMs: 5000 })
  t.equal(model.state, 'unloaded')
  await model.engine()
  t.same(states, ['loading', 'draining', 'unloaded', 'loading', 'ready'])
})

t.test('drain before the process was even started', async t => {
  const { model } = supervise(t)
  const refused = unavailable(model.engine())
  await model.drain({ timeoutMs: 100 })
  await refused
  t.equal(model.pid, undefined)
  t.equal(model.state, 'unloaded')
})

t.test('drain during a pause: no restart comes', async t => {
  const { model, clock } = supervise(t, { load: 'crash' })
  await unavailable(model.engine())
  await until('pause', () => clock.pending[0] === 500)
  await model.drain({ timeoutMs: 100 })
  t.same(clock.pending, [])
  t.equal(model.state, 'unloaded')
})

t.test('drain when ready: refused meanwhile, the engine reports, two drains are one', async t => {
  const { model } = supervise(t)
  const engine = await model.engine()
  engine.submit(generationRequest('keep'), () => {})
  const drained = [model.drain({ timeoutMs: 3000 }), model.drain({ timeoutMs: 1 })]
  t.equal(model.state, 'draining')
  t.match(await unavailable(model.engine()), { failure: { code: 'draining' }, retryAfterMs: 3000 })
  t.same(await drained[0], { finished: 1, aborted: 1, spilledBytes: 10 })
  t.equal(await drained[1], await drained[0])
  t.equal(model.stats, null)
})

t.test('closed is closed', async t => {
  const { model } = supervise(t)
  await model.engine()
  await model.close({ timeoutMs: 100 })
  t.match(await unavailable(model.engine()), { failure: { code: 'draining' } })
  t.match(await unavailable(model.load()), { failure: { code: 'draining' } })
})

t.test('many restarts leave no listener behind', async t => {
  const { model, clock, events } = supervise(t)
  const before = process.eventNames().map(name => process.listenerCount(name))
  await model.engine()
  for (let i = 0; i < 6; i++) {
    clock.advance(60_000)
    await killed(model)
  }
  t.same(
    process.eventNames().map(name => process.listenerCount(name)),
    before
  )
  t.equal(events.listenerCount('state'), 1)
  t.same(clock.pending, [], 'nor a timer')
})
