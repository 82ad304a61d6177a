import t from 'tap'
import { alive, ask, chat, flowing, killEngine, longText, serve, stream, until } from './serving.js'

const systemPrompt = [{ role: 'system', content: longText }]

/** Milliseconds. What a machine needs for a load says how busy it is: bounds below follow it. */
async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

t.test(
  'kill -9 under 16 streams: each gets its error within a second, the next request within two',
  async t => {
    const serving = await serve(t, [{ id: 'm', engine: { contextCells: 16_384 } }])
    const loadMs = await timed(() => serving.model.load())
    const streams = await Promise.all(Array.from({ length: 16 }, (_, i) => flowing(serving, `number ${i}`)))
    const pid = killEngine(serving)
    const killedAt = performance.now()
    for (const reading of streams) {
      t.equal(await reading.end, 'error')
      t.ok(reading.endedAt() - killedAt < Math.max(1000, 2 * loadMs), `${reading.endedAt() - killedAt} ms`)
      t.match(reading.text(), /"code":"engine_crashed"/)
    }
    const next = await ask(serving, chat('Hello'))
    t.equal(next.status, 200)
    t.ok(performance.now() - killedAt < Math.max(2000, 5 * loadMs), `${performance.now() - killedAt} ms`)
    t.notOk(alive(pid))
    t.ok(await serving.sound())
  }
)

t.test('kill -9 with a disk tier: the next engine has the prefix from disk', async t => {
  const folder = t.testdir({})
  const disk = { folder, capBytes: 2 ** 28, dailyWriteBytes: null }
  const serving = await serve(t, [{ id: 'm', engine: { tiers: { ramBytes: 2 ** 26, disk } } }])
  const loadMs = await timed(() => serving.model.load())
  const warm = await ask(serving, { messages: systemPrompt }, { path: '/v1/models/m/warmup' })
  t.equal(warm.status, 200)
  await until('written', async () => {
    const { counters } = await (await serving.model.engine()).call('stats', null)
    return counters.diskWrittenBytes > 6.5e6
  })
  killEngine(serving)
  const killedAt = performance.now()
  const messages = [...systemPrompt, { role: 'user', content: 'Hello' }]
  const { status, json } = await ask(serving, { ...chat(''), messages })
  t.equal(status, 200)
  t.ok(performance.now() - killedAt < Math.max(2000, 5 * loadMs), `${performance.now() - killedAt} ms`)
  t.ok((json.usage?.prompt_tokens_details?.cached_tokens ?? 0) > 500)
  t.ok(await serving.sound())
})

t.test('one server, its engine ended at every stage', async t => {
  const serving = await serve(t, [{ id: 'm' }], {
    backoff: { factor: 1, baseMs: 50 },
    breaker: { failures: 100 }
  })

  t.test('while it loads', async t => {
    const answer = ask(serving, chat('Hello'))
    await until('loading', () => serving.model.progress > 0)
    killEngine(serving)
    t.equal((await answer).status, 200)
    t.equal(serving.model.restarts, 1)
  })

  t.test('while a prompt is computed: the request goes to the next engine', async t => {
    const answer = ask(serving, chat(longText))
    await until('started', () => (serving.model.stats?.running ?? 0) > 0)
    killEngine(serving)
    t.equal((await answer).status, 200)
  })

  t.test('while a stream waits for its first text: its client does not notice', async t => {
    const reading = await stream(serving, chat(`${longText} again`))
    killEngine(serving)
    t.equal(await reading.end, 'done')
    t.notMatch(reading.text(), /error/)
  })

  t.test('in the middle of a whole answer: 503, and when to come back', async t => {
    const answer = ask(serving, chat('A long story', { max_tokens: 400 }))
    const tokens = () => serving.model.stats?.counters.generatedTokens ?? 0
    await until('computing', () => serving.model.active > 0)
    const before = tokens()
    await until('generating', () => tokens() > before + 10)
    killEngine(serving)
    const { status, headers, json } = await answer
    t.equal(status, 503)
    t.equal(json.error?.code, 'engine_crashed')
    t.ok(Number(headers.get('retry-after-ms')) > 0)
  })

  t.test('while nobody uses it', async t => {
    await until('ready', () => serving.model.isReady)
    const pid = killEngine(serving)
    await until('noticed', () => serving.model.pid !== pid)
    t.equal((await ask(serving, chat('Hello'))).status, 200)
  })

  t.test('while it is unloaded: it comes back for whoever asks', async t => {
    await until('ready', () => serving.model.isReady)
    const unloading = serving.model.unload({ timeoutMs: 5000 })
    killEngine(serving)
    await unloading
    t.equal(serving.model.state, 'unloaded')
    t.equal((await ask(serving, chat('Hello'))).status, 200)
  })

  t.test('and afterwards everything is in order', async t => {
    t.ok(await serving.sound())
    t.equal(serving.model.active, 0)
    t.equal(serving.model.failure, null)
    t.equal([...serving.pids].filter(alive).length, 1)
  })
})

t.test('an engine that is stopped (SIGSTOP) is ended and started again', async t => {
  const serving = await serve(t, [{ id: 'm' }], {
    backoff: { factor: 1, baseMs: 50 },
    breaker: { failures: 100 },
    bounds: { heartbeatMs: 500, loadStallMs: 3000, exitMs: 300, patienceMs: 5000 }
  })
  await serving.model.load()

  t.test('under a stream: it gets its error', async t => {
    const reading = await flowing(serving, 'time')
    const pid = killEngine(serving, 'SIGSTOP')
    t.equal(await reading.end, 'error')
    t.match(reading.text(), /"code":"engine_crashed"/)
    await until('ended', () => !alive(pid))
    t.ok(serving.log.some(record => /did not answer/.test(String(record.msg))))
  })

  t.test('while idle: the next request is served by another', async t => {
    await until('ready', () => serving.model.isReady)
    const pid = killEngine(serving, 'SIGSTOP')
    t.equal((await ask(serving, chat('Hello'))).status, 200)
    t.notOk(alive(pid))
  })

  t.test('while it loads: likewise', async t => {
    await serving.model.unload({ timeoutMs: 1000 })
    const answer = ask(serving, chat('Hello'))
    await until('started', () => serving.model.pid !== undefined)
    const pid = killEngine(serving, 'SIGSTOP')
    t.equal((await answer).status, 200)
    t.notOk(alive(pid))
  })

  t.test('while it is unloaded: it is killed', async t => {
    const pid = killEngine(serving, 'SIGSTOP')
    await serving.model.unload({ timeoutMs: 100 })
    t.notOk(alive(pid))
    t.equal((await ask(serving, chat('Hello'))).status, 200)
    t.ok(await serving.sound())
  })
})

t.test('the breaker: open after two failures, refuses at once, one probe closes it', async t => {
  const serving = await serve(t, [{ id: 'm' }], {
    breaker: { failures: 2, openMs: 1200 },
    bounds: { patienceMs: 200 }
  })
  await serving.model.load()
  for (let i = 0; i < 2; i++) {
    await until('ready', () => serving.model.isReady)
    const pid = killEngine(serving)
    await until('noticed', () => serving.model.pid !== pid)
  }
  t.equal(serving.model.breaker, 'open')
  const began = performance.now()
  const refused = await ask(serving, chat('Hello'))
  t.ok(performance.now() - began < 200, 'at once')
  t.equal(refused.status, 503)
  t.equal(refused.json.error?.code, 'model_unavailable')
  t.ok(Number(refused.headers.get('retry-after-ms')) <= 1200)
  const health = await (await fetch(`${serving.url}/health`)).json()
  t.match(health, { status: 'down', models: [{ state: 'failed', breaker: 'open' }] })
  await until('half open', () => serving.model.breaker === 'half_open')
  await until('closed', () => serving.model.breaker === 'closed')
  t.equal((await ask(serving, chat('Hello'))).status, 200)
  t.match(await (await fetch(`${serving.url}/health`)).json(), { status: 'ok' })
})

t.test('an open breaker stays open when its model is unloaded, and says why', async t => {
  const serving = await serve(t, [{ id: 'm' }], { breaker: { failures: 1, openMs: 60_000 } })
  await serving.model.load()
  killEngine(serving)
  await until('open', () => serving.model.breaker === 'open')
  await until('explained', () => /SIGKILL/.test(serving.model.failure?.message ?? ''))
  await serving.model.unload({ timeoutMs: 0 })
  const { status, headers, json } = await ask(serving, chat('Hello'))
  t.equal(status, 503)
  t.match(json.error, { code: 'model_unavailable', message: /the engine process ended with SIGKILL/ })
  t.ok(Number(headers.get('retry-after')) > 30)
  t.match(await (await fetch(`${serving.url}/health`)).json(), { status: 'down' })
})
