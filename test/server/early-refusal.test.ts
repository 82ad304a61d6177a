import t from 'tap'
import type { GenerationRequest, RequestEvent } from '../../src/engine/messages.js'
import type { Generation } from '../../src/models/types.js'
import { FakeEngine, fakeModels } from './fake-engine.js'
import { build, hello } from './helper.js'
import { total } from './metrics/exposition.js'

const queue = { running: 8, waiting: 64, maxWaiting: 64, waitingTokens: 9000, maxWaitingTokens: null }

/** An engine that can be full, as one process's client is; whatever is submitted then is refused at once. */
class FullEngine extends FakeEngine {
  full = false

  override submit(request: GenerationRequest, onEvent: (event: RequestEvent) => void): Generation {
    if (!this.full) return super.submit(request, onEvent)
    const verdict = { kind: 'full', retryAfterMs: 1234, reason: 'queue', queue } as const
    queueMicrotask(() => onEvent({ type: 'verdict', id: 1, verdict }))
    return { cancel() {}, pause() {}, resume() {} }
  }
}

function full(template: string | null = null) {
  const models = fakeModels({ chatTemplate: template })
  const engine = new FullEngine()
  engine.full = true
  models.model.engine = async () => engine
  return { models, engine }
}

t.test('a request to a full engine is refused before its prompt is rendered', async t => {
  // A template that fails would be a 4xx of its own.
  const { models, engine } = full("{{ raise_exception('rendered') }}")
  const { app } = await build(t, {}, models)
  for (const [url, payload] of [
    ['/v1/chat/completions', hello],
    ['/chat/completions', { ...hello, stream: true }],
    ['/v1/completions', { prompt: 'Hello' }],
    ['/v1/responses', { input: 'Hello' }],
    ['/v1/messages', { ...hello, model: 'fake', max_tokens: 8 }]
  ] as const) {
    const reply = await app.inject({ method: 'POST', url, payload })
    t.equal(reply.statusCode, 429, url)
    t.match(reply.headers, { 'retry-after-ms': '1234', 'retry-after': '2', 'x-octavo-queue-waiting': '64' })
    t.match(reply.body, url.includes('messages') ? /rate_limit_error/ : /pool_exhausted/)
  }
  const text = (await app.inject('/metrics')).body
  t.equal(total(text, 'octavo_requests_rejected_total', 'reason="queue"'), 5, 'counted like any other')
  const invalid = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload: { messages: 3 } })
  t.equal(invalid.statusCode, 400, 'a body that is none is told first')
  engine.full = false
  const rendered = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload: hello })
  t.equal(rendered.json().error.code, 'template_error')
})

t.test('routes that compute nothing, and models that are not loaded, are not looked at', async t => {
  const { models } = full()
  const { app } = await build(t, {}, models)
  const tokenized = await app.inject({ method: 'POST', url: '/tokenize', payload: { content: 'Hello' } })
  t.not(tokenized.statusCode, 429)
  const unknown = await app.inject({
    method: 'POST',
    url: '/v1/chat/completions',
    payload: { ...hello, model: 'x' }
  })
  t.equal(unknown.statusCode, 404)
})

t.test('a retry with an idempotency key may join what is computed although the engine is full', async t => {
  const { models, engine } = full()
  const { app } = await build(t, {}, models)
  let free = () => {}
  engine.script.hold = new Promise(resolve => {
    free = resolve
  })
  const ask = (key: string) =>
    app.inject({
      method: 'POST',
      url: '/v1/chat/completions',
      payload: hello,
      headers: { 'idempotency-key': key }
    })
  engine.full = false
  const first = ask('one')
  while (engine.generations.length === 0) await new Promise(resolve => setImmediate(resolve))
  engine.full = true
  const second = ask('one')
  t.equal((await ask('other')).statusCode, 429, 'another key needs room')
  free()
  t.same(
    [await first, await second].map(({ statusCode }) => statusCode),
    [200, 200]
  )
  t.equal(engine.generations.length, 1)
})
