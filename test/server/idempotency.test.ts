import t, { type Test } from 'tap'
import { violations } from '../support/openai-schema.js'
import type { FakeModels } from './fake-engine.js'
import { hello, listen, parseEvents } from './helper.js'

const path = '/v1/chat/completions'

function post(address: string, key: string, body: object, options: RequestInit = {}): Promise<Response> {
  return fetch(address + path, {
    method: 'POST',
    body: JSON.stringify(body),
    ...options,
    headers: { 'content-type': 'application/json', 'idempotency-key': key, ...options.headers }
  })
}

async function until(t: Test, what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + 5000
  while (!condition() && performance.now() < end) await new Promise(resolve => setTimeout(resolve, 5))
  t.ok(condition(), what)
}

/** Nothing is generated before the returned function is called. */
function held(models: FakeModels): () => void {
  let release = () => {}
  models.engine.script.hold = new Promise<void>(resolve => {
    release = resolve
  })
  return release
}

const contentOf = (body: string) =>
  parseEvents(body)
    .data.slice(0, -1)
    .map(
      chunk => (chunk as { choices: Array<{ delta: { content?: string } }> }).choices[0]?.delta.content ?? ''
    )
    .join('')

t.test('an identical request joins the one under way, whole', async t => {
  const { url, models } = await listen(t)
  const release = held(models)
  const first = post(url, 'a', hello)
  await until(t, 'runs', () => models.engine.generations.length === 1)
  const second = post(url, 'a', hello)
  const other = post(url, 'b', hello)
  await until(t, 'the other key is another computation', () => models.engine.generations.length === 2)
  release()
  const [one, two] = await Promise.all([first, second])
  t.equal(one.headers.get('idempotent-replayed'), null)
  t.equal(two.headers.get('idempotent-replayed'), 'true')
  const [a, b] = (await Promise.all([one.json(), two.json()])) as Array<{ choices: object; usage: object }>
  t.same(a!.choices, b!.choices)
  t.same(a!.usage, b!.usage)
  t.equal((await other).status, 200)
  t.equal(models.engine.generations.length, 2)
})

t.test('who joins a stream gets it from the start', async t => {
  const { url, models } = await listen(t)
  models.engine.script.tokens = () => Array.from({ length: 1500 }, (_, i) => `${i} `)
  models.engine.script.tokenMs = 1
  const body = { ...hello, stream: true }
  const first = await post(url, 'a', body)
  await until(t, 'in the middle', () => models.engine.last.sent > 400)
  const second = await post(url, 'a', body)
  const [one, two] = await Promise.all([first.text(), second.text()])
  t.equal(contentOf(one), Array.from({ length: 1500 }, (_, i) => `${i} `).join(''))
  t.equal(contentOf(two), contentOf(one))
  t.equal(parseEvents(two).data.at(-1), '[DONE]')
  const third = await post(url, 'a', body)
  t.equal(contentOf(await third.text()), contentOf(one), 'and for a while after its end')
  t.equal(models.engine.generations.length, 1)
})

t.test('the same key with another body is refused, for another caller it is another key', async t => {
  const { url, models } = await listen(t, { apiKeys: ['k', 'l'] })
  const release = held(models)
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
  const first = post(url, 'a', hello, as('k'))
  await until(t, 'runs', () => models.engine.generations.length === 1)
  const refused = await post(url, 'a', { ...hello, temperature: 0 }, as('k'))
  t.equal(refused.status, 422)
  const error = await refused.json()
  t.same(violations('ErrorResponse', error), [])
  t.match(error, { error: { code: 'idempotency_key_reused', type: 'invalid_request_error' } })
  const stranger = post(url, 'a', { ...hello, temperature: 0 }, as('l'))
  await until(t, 'computed', () => models.engine.generations.length === 2)
  release()
  t.equal((await first).status, 200)
  t.equal((await stranger).status, 200)
  t.equal((await post(url, 'x'.repeat(256), hello, as('k'))).status, 400)
})

t.test('cancelled when all have left, not before', async t => {
  const { url, models } = await listen(t)
  models.engine.script.tokens = () => Array.from({ length: 100_000 }, () => 'word ')
  models.engine.script.tokenMs = 1
  for (const stream of [true, false]) {
    const before = models.engine.generations.length
    const body = { ...hello, stream, max_tokens: 99_000 }
    const clients = [0, 1, 2].map(() => new AbortController())
    const replies = clients.map(({ signal }) =>
      post(url, 'a', body, { signal }).then(async reply => {
        for await (const _ of reply.body!);
      })
    )
    for (const reply of replies) reply.catch(() => {})
    await until(t, 'runs', () => models.engine.generations.length > before && models.engine.last.sent > 10)
    t.equal(models.engine.generations.length, before + 1)
    const generation = models.engine.last
    await new Promise(resolve => setTimeout(resolve, 100))
    clients[0]!.abort()
    clients[1]!.abort()
    const { sent } = generation
    await until(t, 'goes on', () => generation.sent > sent + 20)
    t.notOk(generation.cancelled)
    clients[2]!.abort()
    await until(t, 'cancelled', () => generation.cancelled)
  }
})

t.test('refusals and failures are not kept', async t => {
  const { url, models } = await listen(t)
  const { script } = models.engine
  script.verdict = () => ({ kind: 'full', reason: 'queue', retryAfterMs: 500 })
  t.equal((await post(url, 'a', hello)).status, 429)
  script.verdict = null
  script.fail = { code: 'engine_crashed', afterTokens: 2 }
  t.equal((await post(url, 'a', hello)).status, 503)
  script.fail = null
  const reply = await post(url, 'a', hello)
  t.equal(reply.status, 200)
  t.equal(reply.headers.get('idempotent-replayed'), null)
  t.equal(models.engine.generations.length, 3)
  const again = await post(url, 'a', hello)
  t.equal(again.headers.get('idempotent-replayed'), 'true')
})
