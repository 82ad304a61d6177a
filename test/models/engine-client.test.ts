import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { GenerationRequest, RequestEvent } from '../../src/engine/messages.js'
import { systemClock } from '../../src/models/clock.js'
import { EngineClient, type EngineClientOptions } from '../../src/models/engine-client.js'
import { LoadFailedError } from '../../src/models/failures.js'
import { defaultBounds } from '../../src/models/supervisor-options.js'
import { EngineGoneError } from '../../src/models/types.js'
import { alive, fakeEngine, silent, until } from './helpers.js'
import { engineConfig, generationRequest } from './messages.js'

function start(
  t: Test,
  behaviour: Record<string, string | number> = {},
  more: Partial<EngineClientOptions> = {}
) {
  const config = engineConfig(behaviour)
  const client = new EngineClient({
    entry: fakeEngine,
    config,
    logger: silent,
    clock: systemClock,
    bounds: { ...defaultBounds, exitMs: 300 },
    ...more
  })
  t.teardown(async () => {
    client.kill()
    await client.ended
  })
  return client
}

/** A client whose first request, which the fake treats apart, is done. */
async function started(t: Test, behaviour: Record<string, string | number> = {}, more = {}) {
  const client = start(t, behaviour, more)
  await client.ready
  await collect(client)
  return client
}

function isEnd(event: RequestEvent): boolean {
  return event.type === 'end' || event.type === 'failed' || isRefusal(event)
}

function isRefusal(event: RequestEvent): boolean {
  return event.type === 'verdict' && event.verdict.kind !== 'admitted'
}

function collect(
  client: EngineClient,
  request: GenerationRequest = generationRequest()
): Promise<RequestEvent[]> {
  const events: RequestEvent[] = []
  return new Promise(resolve => {
    client.submit(request, event => {
      events.push(event)
      if (isEnd(event)) resolve(events)
    })
  })
}

t.test('an answer comes in order, and nothing is kept of it', async t => {
  const client = start(t)
  const { info, config } = await client.ready
  t.equal(info.name, 'fake')
  t.equal(config.contextCells, 4096)
  const events = await collect(client)
  t.same(
    events.map(event => event.type),
    ['verdict', 'started', 'text', 'finish', 'end']
  )
  t.equal(client.inFlight, 0)
})

t.test('a load with progress', async t => {
  const seen: number[] = []
  const client = start(t, { load: 'slow' }, { onProgress: (fraction: number) => seen.push(fraction) })
  await client.ready
  t.equal(seen.length, 11)
  t.equal(seen.at(-1), 1)
})

t.test('pause, resume and cancel reach the engine; after cancel no event comes', async t => {
  const client = await started(t)
  const texts: string[] = []
  const generation = client.submit(generationRequest('keep'), event => {
    if (event.type === 'text') texts.push(event.text)
  })
  generation.pause()
  generation.resume()
  await until('both arrived', () => texts.length === 2)
  t.same(texts, ['pause', 'resume'])
  generation.pause()
  generation.cancel()
  generation.cancel()
  generation.resume()
  t.equal((await client.call('stats', null)).running, 0)
  t.equal(texts.length, 2, 'the pause before the cancel was answered, and dropped')
  t.equal(client.inFlight, 0)
})

t.test('calls: a result, an error, statistics on the side', async t => {
  const seen: number[] = []
  const client = await started(t, {}, { onStats: (stats: { running: number }) => seen.push(stats.running) })
  const params = { text: 'abc', addSpecial: false, parseSpecial: false }
  const results = await Promise.all([client.call('tokenize', params), client.call('stats', null)])
  t.same(results[0], [0, 1, 2])
  t.same(seen, [0])
  await t.rejects(client.call('check', null), { message: 'no such call: check' })
})

t.test('kill -9: every request fails within 10 ms of the exit, calls reject, sends are harmless', async t => {
  const client = await started(t, { end: 'never' })
  const failures: number[] = []
  const generations = Array.from({ length: 16 }, () =>
    client.submit(generationRequest('keep'), event => {
      if (event.type !== 'failed') return
      t.equal(event.code, 'engine_crashed')
      failures.push(performance.now())
    })
  )
  await client.call('stats', null)
  const call = t.rejects(client.call('shutdown', null), EngineGoneError)
  process.kill(client.pid!, 'SIGKILL')
  const exit = await client.ended
  const ended = performance.now()
  await call
  t.equal(exit.signal, 'SIGKILL')
  t.equal(failures.length, 16)
  t.ok(Math.max(...failures) - ended < 10)
  for (const generation of generations) {
    generation.pause()
    generation.cancel()
  }
  t.equal(client.inFlight, 0)
  await t.rejects(client.call('stats', null), EngineGoneError)
  const late = await collect(client)
  t.match(late, [{ type: 'failed', code: 'engine_crashed' }])
  t.equal(late.length, 1)
})

t.test('a request to an engine that is gone can be cancelled before it is told', async t => {
  const client = start(t)
  client.kill()
  await client.ended
  let told = 0
  const generation = client.submit(generationRequest(), () => told++)
  t.equal(told, 0, 'never within submit')
  generation.cancel()
  await new Promise(setImmediate)
  t.equal(told, 0)
})

t.test('a crash in the middle of an answer: what was said before comes first', async t => {
  const client = await started(t, { run: 'crash', events: 3 })
  const events = await collect(client)
  t.same(
    events.map(event => event.type),
    ['verdict', 'started', 'text', 'failed']
  )
})

t.test('loads that fail say why', async t => {
  const failure = async (behaviour: Record<string, string>, more = {}) => {
    const error = await start(t, behaviour, more).ready.catch((error: unknown) => error)
    return error instanceof LoadFailedError ? error.failure : error
  }
  t.same(await failure({ load: 'failed' }), { code: 'load_failed', message: 'the file is damaged' })
  t.same(await failure({ load: 'crash' }), {
    code: 'engine_crashed',
    message: 'the engine process ended with SIGKILL: GGML_ASSERT(false) failed'
  })
  t.same(await failure({ load: 'mute' }), {
    code: 'engine_crashed',
    message: 'the engine process exited with code 7'
  })
  t.match(await failure({}, { entry: '/nowhere/engine.js' }), { code: 'engine_crashed' })
})

t.test('the lines an engine writes go to the log', async t => {
  const lines: unknown[] = []
  const debug = (fields: unknown) => lines.push((fields as { line: string }).line)
  const client = start(t, { load: 'crash' }, { logger: { ...silent, debug } })
  const exit = await client.ended
  t.same(exit.lines, ['first line', 'GGML_ASSERT(false) failed'])
  t.match(lines, new Set(['fake engine: hello', 'first line']))
})

t.test('a flood of events arrives whole and in order, and the event loop goes on', async t => {
  const client = await started(t, { run: 'flood', events: 20_000 })
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  const all = await Promise.all([collect(client), collect(client)])
  clearInterval(timer)
  for (const events of all) {
    const texts = events.filter(event => event.type === 'text').map(event => event.text)
    t.equal(texts.length, 20_000)
    t.ok(texts.every((text, i) => text === `${i} `))
  }
  t.ok(ticks > 5, `${ticks} timers fired`)
})

t.test('a listener that throws loses its request, nobody else', async t => {
  const errors: unknown[] = []
  const logger = { ...silent, error: (fields: unknown) => errors.push(fields) }
  const client = await started(t, {}, { logger })
  client.submit(generationRequest('keep'), () => {
    throw new Error('broken pipe')
  })
  t.equal((await collect(client)).length, 7)
  t.equal(errors.length, 1)
  t.equal((await client.call('stats', null)).running, 0, 'it was cancelled')
})

t.test('prompts that a stopped engine does not take are refused beyond a bound', async t => {
  const client = await started(t, {})
  process.kill(client.pid!, 'SIGSTOP')
  const large = generationRequest()
  large.prompt = [
    { type: 'text', text: 'x'.repeat(16 * 1024 * 1024), parseSpecial: false, addSpecial: false }
  ]
  const verdicts: RequestEvent[] = []
  for (let i = 0; i < 8; i++) client.submit(large, event => verdicts.push(event))
  await new Promise(setImmediate)
  t.equal(verdicts.length, 3)
  t.match(verdicts[0], { type: 'verdict', verdict: { kind: 'full', retryAfterMs: 1000 } })
  client.kill()
  await client.ended
  t.equal(verdicts.length, 8, 'the others fail with the engine')
})

t.test('drain: what runs is reported, new work is refused, the process ends by itself', async t => {
  const client = await started(t)
  const running = collect(client, generationRequest('keep'))
  const drained = client.drain({ timeoutMs: 1000 })
  const refused = await collect(client)
  t.match(refused, [{ type: 'verdict', verdict: { kind: 'draining' } }])
  t.same(await drained, { finished: 1, aborted: 1, spilledBytes: 10 })
  t.match((await running).at(-1), { type: 'failed', code: 'draining' })
  t.match(await client.ended, { code: 0, signal: null })
})

t.test('an engine that never ends is killed after its bound, and what ran counts as aborted', async t => {
  const client = await started(t, { end: 'never' })
  const running = collect(client, generationRequest('keep'))
  const start = performance.now()
  t.same(await client.drain({ timeoutMs: 100 }), { finished: 0, aborted: 1, spilledBytes: 0 })
  t.ok(performance.now() - start < 2000)
  t.match((await running).at(-1), { type: 'failed', code: 'draining' })
  t.equal((await client.ended).signal, 'SIGKILL')
})

t.test('an engine that dies while it drains: nothing waits', async t => {
  const client = await started(t, { end: 'never' })
  const running = collect(client, generationRequest('keep'))
  const drained = client.drain({ timeoutMs: 60_000 })
  await client.call('stats', null)
  process.kill(client.pid!, 'SIGKILL')
  t.same(await drained, { finished: 0, aborted: 1, spilledBytes: 0 })
  t.match((await running).at(-1), { type: 'failed' })
})

t.test('a process that stops listening is killed', async t => {
  const client = await started(t)
  process.kill(client.pid!, 'SIGSTOP')
  t.equal((await client.stop()).signal, 'SIGKILL')
})

t.test('a process that cuts the channel and lives on: requests fail at once, it is killed', async t => {
  const client = await started(t, { run: 'leave' })
  const events = await collect(client)
  t.match(events, [{ type: 'failed', code: 'engine_crashed' }])
  t.ok(alive(client.pid!))
  t.equal((await client.ended).signal, 'SIGKILL')
})

t.test('kill -9 of the parent leaves no engine behind, loaded or loading', async t => {
  const parent = spawn(process.execPath, [fileURLToPath(new URL('./orphan-parent.js', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => parent.kill('SIGKILL'))
  const [line] = (await once(parent.stdout, 'data')) as [Buffer]
  const pids = JSON.parse(String(line)) as number[]
  t.equal(pids.length, 2)
  t.ok(pids.every(alive))
  parent.kill('SIGKILL')
  await until('the engines ended', () => !pids.some(alive), 5000)
  t.pass()
})
