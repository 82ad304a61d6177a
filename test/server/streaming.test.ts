import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import t, { type Test } from 'tap'
import { EventStream } from '../../src/server/generation/event-stream.js'
import type { FakeModels } from './fake-engine.js'
import { hello, listen, parseEvents } from './helper.js'

/** Sends a chat request over a socket; resolves with the reply's headers. */
function post(address: string, body: object): { request: ClientRequest; reply: Promise<IncomingMessage> } {
  const request = httpRequest(`${address}/v1/chat/completions`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json' }
  })
  const reply = new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve)
    request.on('error', reject)
  })
  reply.catch(() => {})
  request.end(JSON.stringify(body))
  return { request, reply }
}

async function until(t: Test, what: string, condition: () => boolean, ms = 5000): Promise<void> {
  const end = performance.now() + ms
  while (!condition() && performance.now() < end) await new Promise(resolve => setTimeout(resolve, 2))
  t.ok(condition(), what)
}

function endless(models: FakeModels, token = 'token '): void {
  models.engine.script.tokens = () => Array.from({ length: 1_000_000 }, () => token)
}

t.test('headers go out on admission, before the first token', async t => {
  const { url, models } = await listen(t)
  let release = () => {}
  models.engine.script.hold = new Promise<void>(resolve => {
    release = resolve
  })
  const reply = await post(url, { ...hello, stream: true }).reply
  t.equal(reply.statusCode, 200)
  t.equal(models.engine.last.sent, 0)
  release()
  const first = await new Promise<Buffer>(resolve => reply.once('data', resolve))
  t.match(first.toString(), /^data: .*"role":"assistant"/)
  reply.destroy()
})

t.test('signs of life only until the first token', async t => {
  const { url, models } = await listen(t, { keepAliveMs: 20 })
  Object.assign(models.engine.script, { firstTokenMs: 150, tokenMs: 40 })
  const reply = await post(url, { ...hello, stream: true }).reply
  let body = ''
  for await (const chunk of reply) body += chunk
  const { comments, data } = parseEvents(body)
  t.ok(comments.length > 0, `${comments.length} comments`)
  t.strictSame([...new Set(comments)], [': keep-alive'])
  t.ok(body.lastIndexOf(': keep-alive') < body.indexOf('data:'), 'none while tokens flow')
  t.equal(data.at(-1), '[DONE]')
})

t.test('a client that goes away cancels its request', async t => {
  const { url, models } = await listen(t)
  endless(models)
  models.engine.script.tokenMs = 1
  for (const stream of [true, false]) {
    const { request, reply } = post(url, { ...hello, stream })
    const count = models.engine.generations.length
    await until(t, 'it runs', () => models.engine.generations.length > count && models.engine.last.sent > 5)
    if (stream) await reply
    t.equal(models.engine.last.cancelled, false)
    request.destroy()
    await until(t, `stream ${stream}: cancelled`, () => models.engine.last.cancelled, 1000)
  }
})

t.test('a client that goes away before the verdict, or before the first token', async t => {
  const { url, models } = await listen(t)
  models.engine.script.firstTokenMs = 10_000
  for (const stream of [true, false]) {
    const { request } = post(url, { ...hello, stream })
    const count = models.engine.generations.length
    await until(t, 'submitted', () => models.engine.generations.length > count)
    request.destroy()
    await until(t, `stream ${stream}: cancelled`, () => models.engine.last.cancelled, 1000)
  }
})

t.test('a client that goes away while the model loads is not submitted', async t => {
  const { url, models } = await listen(t)
  let loaded = () => {}
  let asked = false
  const loading = new Promise<void>(resolve => {
    loaded = resolve
  })
  models.model.engine = async () => {
    asked = true
    await loading
    return models.engine
  }
  const { request } = post(url, hello)
  await until(t, 'asked for the engine', () => asked)
  request.destroy()
  await new Promise(resolve => setTimeout(resolve, 50))
  loaded()
  await new Promise(resolve => setTimeout(resolve, 50))
  t.equal(models.engine.generations.length, 0)
})

t.test('a slow reader pauses its generation and nobody else', async t => {
  const { url, models } = await listen(t)
  endless(models, 'word '.repeat(200))
  const slow = await post(url, { ...hello, stream: true }).reply
  const generation = models.engine.last
  await until(t, 'paused', () => generation.paused)
  const { sent } = generation
  await new Promise(resolve => setTimeout(resolve, 100))
  t.equal(generation.sent, sent, 'no token is made while it is paused')

  models.engine.script.tokens = () => ['a', 'b']
  const other = await post(url, hello).reply
  t.equal(other.statusCode, 200, 'others are served')
  other.resume()

  slow.resume()
  await until(t, 'resumed', () => generation.sent > sent)
  slow.destroy()
  await until(t, 'cancelled', () => generation.cancelled)
})

t.test('a stream that is read slowly loses nothing', async t => {
  const { url, models } = await listen(t)
  const tokens = Array.from({ length: 10_000 }, (_, index) => `${index} ${'x'.repeat(2000)} `)
  models.engine.script.tokens = () => tokens
  const reply = await post(url, { ...hello, stream: true }).reply
  await until(t, 'paused', () => models.engine.last.paused)
  let body = ''
  for await (const chunk of reply) body += chunk
  const chunks = parseEvents(body).data.slice(0, -1) as Array<{
    choices: Array<{ delta: { content?: string } }>
  }>
  const text = chunks.map(chunk => chunk.choices[0]?.delta.content ?? '').join('')
  t.equal(text, tokens.join(''))
  t.ok(models.engine.last.pauses > 0)
})

t.test('events of one turn leave in one write', async t => {
  const written: string[] = []
  const stream = new EventStream({
    encoder: {
      event: event => (event.type === 'text' ? event.text : event.type === 'end' ? '!' : ''),
      failure: () => 'failed',
      keepAlive: () => '.'
    },
    generation: { cancel() {}, pause() {}, resume() {} },
    keepAliveMs: 0,
    onStart() {}
  })
  stream.on('data', chunk => written.push(String(chunk)))
  const text = (text: string) => stream.accept({ type: 'text', id: 1, choice: 0, text, tokens: 1 })
  text('a')
  text('b')
  await new Promise(resolve => setImmediate(resolve))
  text('c')
  const usage = { promptTokens: 0, completionTokens: 0, cached: { resident: 0, ram: 0, disk: 0 } }
  const timings = { queueMs: 0, prefillMs: 0, firstTokenMs: 0, totalMs: 0 }
  stream.accept({ type: 'end', id: 1, usage, timings })
  text('after the end')
  await new Promise(resolve => stream.on('end', resolve))
  t.strictSame(written, ['ab', 'c!'])
})

t.test('200 clients that give up, then one that is answered', async t => {
  const { url, models } = await listen(t)
  models.engine.script.firstTokenMs = 10_000
  const clients = Array.from({ length: 200 }, () => post(url, { ...hello, stream: true }))
  await until(t, 'all submitted', () => models.engine.generations.length === 200)
  for (const { request } of clients) request.destroy()
  await until(t, 'all cancelled', () => models.engine.generations.every(({ cancelled }) => cancelled), 2000)
  models.engine.script.firstTokenMs = 0
  const reply = await post(url, hello).reply
  t.equal(reply.statusCode, 200)
  reply.resume()
})

t.test('a server that cannot listen says so and leaves nothing open', async t => {
  const { url } = await listen(t)
  const port = Number(new URL(url).port)
  const { startServer } = await import('../../src/server/server.js')
  const { defaultOptions, silent } = await import('./helper.js')
  const { fakeModels } = await import('./fake-engine.js')
  const again = startServer({ models: fakeModels(), config: defaultOptions, logger: silent, port })
  await t.rejects(again, { code: 'EADDRINUSE' })
})
