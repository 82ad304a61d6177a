import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import type { QueueState, RequestEvent } from '../../src/engine/messages.js'
import { lookAgain } from '../../src/server/plugins/app/second-look.js'
import { generationRequest } from '../models/messages.js'
import { violations } from '../support/openai-schema.js'
import { FakeEngine } from './fake-engine.js'
import { build, hello, listen } from './helper.js'
import { total } from './metrics/exposition.js'

const url = '/v1/chat/completions'

async function until(t: Test, what: string, condition: () => boolean, ms = 10_000): Promise<void> {
  const end = performance.now() + ms
  while (!condition() && performance.now() < end) await new Promise(resolve => setTimeout(resolve, 5))
  t.ok(condition(), what)
}

t.test("a 429 tells when to come back, and the queue's state", async t => {
  const { app, models } = await build(t)
  const queue: QueueState = {
    running: 8,
    waiting: 64,
    maxWaiting: 64,
    waitingTokens: 9000,
    maxWaitingTokens: 10_000
  }
  models.engine.script.verdict = () => ({ kind: 'full', reason: 'queue', retryAfterMs: 1234, queue })
  for (const stream of [false, true]) {
    const reply = await app.inject({ method: 'POST', url, payload: { ...hello, stream } })
    t.equal(reply.statusCode, 429)
    t.strictSame(violations('ErrorResponse', reply.json()), [])
    t.match(reply.headers, {
      'retry-after': '2',
      'retry-after-ms': '1234',
      'x-octavo-queue-running': '8',
      'x-octavo-queue-waiting': '64',
      'x-octavo-queue-limit': '64',
      'x-octavo-queue-tokens': '9000',
      'x-octavo-queue-tokens-limit': '10000'
    })
  }
  const free = { ...queue, running: 1, waiting: 0, waitingTokens: 0, maxWaitingTokens: null }
  models.engine.script.verdict = () => ({ kind: 'admitted', promptTokens: 3, queue: free })
  for (const stream of [false, true]) {
    const { headers } = await app.inject({ method: 'POST', url, payload: { ...hello, stream } })
    t.match(headers, { 'x-octavo-queue-running': '1', 'x-octavo-queue-waiting': '0' }, 'on answers too')
    t.notOk('x-octavo-queue-tokens-limit' in headers)
  }
})

t.test("the server's time limits hold where a request has none", async t => {
  const { app, models } = await build(t, { deadlines: { queue: 1000, firstToken: null, total: 3000 } })
  await app.inject({ method: 'POST', url, payload: hello })
  t.strictSame(models.engine.last.request.deadlines, { queue: 1000, firstToken: null, total: 3000 })
})

t.test('time limits have errors of their own', async t => {
  const { app, models } = await build(t)
  const statuses = { queue_timeout: 503, first_token_timeout: 504, total_timeout: 504 } as const
  for (const code of ['queue_timeout', 'first_token_timeout', 'total_timeout'] as const) {
    models.engine.script.fail = { code, afterTokens: 0 }
    const reply = await app.inject({ method: 'POST', url, payload: hello })
    t.equal(reply.statusCode, statuses[code])
    t.match(reply.json(), { error: { code } })
    if (code === 'queue_timeout') t.match(reply.headers['retry-after-ms'], /^\d+$/)
    else t.equal(reply.headers['x-should-retry'], 'false', 'the same request would take as long again')
  }
})

/** A client that sends a request and never reads. */
async function deaf(t: Test, address: string, body: object) {
  const { hostname, port } = new URL(address)
  const socket = connect({ host: hostname, port: Number(port) })
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.pause()
  const content = JSON.stringify(body)
  const head = ['POST /v1/chat/completions HTTP/1.1', 'host: localhost', 'content-type: application/json']
  socket.write([...head, `content-length: ${Buffer.byteLength(content)}`, '', content].join('\r\n'))
  return socket
}

t.test('a stream that nobody reads is paused, and ended after a while', async t => {
  const { url: address, app, models } = await listen(t, { slowClientMs: 300 })
  models.engine.script.tokens = () => Array.from({ length: 1_000_000 }, () => 'word '.repeat(200))
  await deaf(t, address, { ...hello, stream: true })
  await until(t, 'paused', () => models.engine.generations[0]?.paused === true)
  const generation = models.engine.last
  const { sent } = generation
  const memory = process.memoryUsage.rss()
  t.notOk(generation.cancelled, 'not at once')
  await until(t, 'cancelled', () => generation.cancelled)
  t.equal(generation.sent, sent, 'nothing was generated meanwhile')
  t.ok(process.memoryUsage.rss() - memory < 50 * 2 ** 20)
  const text = (await app.inject('/metrics')).body
  t.equal(total(text, 'octavo_slow_clients_total'), 1)
  t.equal(total(text, 'octavo_errors_total', 'kind="slow_client"'), 1)
})

t.test('the same for the end of an answer', async t => {
  const { url: address, app, models } = await listen(t, { slowClientMs: 200 })
  models.engine.script.tokens = () => ['x'.repeat(20_000_000)]
  await deaf(t, address, hello)
  await until(t, 'generated', () => models.engine.generations[0]?.sent === 1)
  let ended = 0
  for (let i = 0; i < 200 && ended === 0; i++) {
    await new Promise(resolve => setTimeout(resolve, 20))
    ended = total((await app.inject('/metrics')).body, 'octavo_slow_clients_total')
  }
  t.equal(ended, 1)
})

t.test('a stream that is read slowly goes on for as long as it takes', async t => {
  const { url: address, models } = await listen(t, { slowClientMs: 400 })
  const tokens = Array.from({ length: 300 }, () => 'x'.repeat(100_000))
  models.engine.script.tokens = () => tokens
  const reply = await fetch(address + url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...hello, stream: true })
  })
  let length = 0
  let reads = 0
  for await (const chunk of reply.body as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (++reads % 60 === 0) await new Promise(resolve => setTimeout(resolve, 100))
  }
  t.ok(length > 300 * 100_000)
  t.ok(models.engine.last.pauses > 0)
})

t.test('who comes while others leave is looked at twice', async t => {
  const engine = new FakeEngine()
  const listeners: Array<(event: RequestEvent) => void> = []
  const submit = lookAgain((_engine, _request, onEvent) => {
    listeners.push(onEvent)
    return { cancel() {}, pause() {}, resume() {} }
  })
  const full: RequestEvent = {
    type: 'verdict',
    id: 1,
    verdict: { kind: 'full', reason: 'queue', retryAfterMs: 500 }
  }
  const events: RequestEvent[] = []
  const ask = () => submit(engine, generationRequest(), event => events.push(event))

  const other = ask()
  ask()
  listeners[1]!(full)
  t.same(events, [full], 'nobody has left: refused at once')
  ask()
  other.cancel()
  listeners[2]!(full)
  t.same(events, [full], 'somebody has: asked again')
  t.equal(listeners.length, 4)
  listeners[3]!(full)
  t.same(events, [full, full], 'and not a third time')
  ask()
  listeners[4]!(full)
  t.equal(listeners.length, 5, 'who left earlier does not count')
})
