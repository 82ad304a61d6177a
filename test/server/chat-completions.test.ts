import t from 'tap'
import { violations } from '../support/openai-schema.js'
import { build, hello, parseEvents } from './helper.js'

const url = '/v1/chat/completions'
const answer = 'The quick brown fox jumps over the lazy dog.'

interface Chunk {
  id: string
  created: number
  model: string
  choices: Array<{
    index: number
    delta: { content?: string; role?: string }
    finish_reason: string | null
    logprobs: { content: Array<{ bytes: number[]; top_logprobs: unknown[] }> } | null
  }>
  usage?: unknown
}

t.test('a whole answer', async t => {
  const { app, models } = await build(t)
  models.engine.script.cached = 3
  const reply = await app.inject({ method: 'POST', url, payload: { ...hello, model: 'fake' } })
  t.equal(reply.statusCode, 200)
  t.match(reply.headers, { 'content-type': /^application\/json/, 'x-request-id': /^req_\w{32}$/ })
  const body = reply.json()
  t.strictSame(violations('CreateChatCompletionResponse', body), [])
  t.match(body, {
    id: /^chatcmpl-\w{32}$/,
    object: 'chat.completion',
    model: 'fake',
    system_fingerprint: 'fp_0123456789',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: answer, refusal: null },
        logprobs: null,
        finish_reason: 'stop'
      }
    ],
    usage: { completion_tokens: 10, prompt_tokens_details: { cached_tokens: 3 } }
  })
  t.equal(body.usage.total_tokens, body.usage.prompt_tokens + 10)
  t.ok(Math.abs(body.created - Date.now() / 1000) < 60)
})

t.test('a streamed answer', async t => {
  const { app } = await build(t)
  const reply = await app.inject({ method: 'POST', url, payload: { ...hello, stream: true } })
  t.equal(reply.statusCode, 200)
  t.match(reply.headers, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': /no-cache/,
    'x-request-id': /^req_/
  })
  const { data, comments } = parseEvents(reply.body)
  t.strictSame(comments, [])
  t.equal(data.pop(), '[DONE]')
  const chunks = data as Chunk[]
  for (const chunk of chunks) {
    t.strictSame(violations('CreateChatCompletionStreamResponse', chunk), [])
    t.notOk('usage' in chunk)
  }
  t.equal(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size, 1)
  t.equal(chunks[0]?.choices[0]?.delta.role, 'assistant')
  t.equal(chunks.map(chunk => chunk.choices[0]?.delta.content ?? '').join(''), answer)
  t.strictSame(
    chunks.map(chunk => chunk.choices[0]?.finish_reason).filter(reason => reason !== null),
    ['stop']
  )
})

t.test('streamed and whole agree, also with several choices, stops, a limit and logprobs', async t => {
  const { app } = await build(t)
  const bodies = [
    { n: 2 },
    { n: 2, stop: ['fox', ' corner'] },
    { n: 3, max_tokens: 2 },
    { logprobs: true, top_logprobs: 2, n: 2 }
  ]
  for (const more of bodies) {
    const whole = await app.inject({ method: 'POST', url, payload: { ...hello, ...more } })
    const payload = { ...hello, ...more, stream: true, stream_options: { include_usage: true } }
    const streamed = await app.inject({ method: 'POST', url, payload })
    const chunks = parseEvents(streamed.body).data.slice(0, -1) as Chunk[]
    const last = chunks.pop() as Chunk
    t.strictSame(violations('CreateChatCompletionResponse', whole.json()), [])
    t.strictSame(last.choices, [])
    t.strictSame(last.usage, whole.json().usage)
    for (const choice of whole.json().choices) {
      const own = chunks.flatMap(chunk => chunk.choices).filter(({ index }) => index === choice.index)
      t.equal(own.map(({ delta }) => delta.content ?? '').join(''), choice.message.content)
      t.strictSame(own.map(chunk => chunk.finish_reason).filter(Boolean), [choice.finish_reason])
      const logprobs = own.flatMap(({ logprobs }) => logprobs?.content ?? [])
      t.strictSame(logprobs, choice.logprobs?.content ?? [])
      const bytes = Buffer.from(logprobs.flatMap(entry => entry.bytes)).toString()
      if ('logprobs' in more) t.equal(bytes, choice.message.content)
    }
  }
})

t.test('the prompt is the rendered template', async t => {
  const { app, models } = await build(t)
  await app.inject({ method: 'POST', url, payload: { ...hello, seed: 1, temperature: 0 } })
  t.match(models.engine.last.request, {
    prompt: [
      { type: 'text', text: '<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n', parseSpecial: true }
    ],
    reproducible: true,
    tenant: '127.0.0.1',
    salt: ''
  })
})

t.test('the model may be left out or be default; the path may lack /v1', async t => {
  const { app } = await build(t)
  for (const payload of [hello, { ...hello, model: 'default' }, { ...hello, model: 'fake' }]) {
    for (const path of [url, '/chat/completions']) {
      const reply = await app.inject({ method: 'POST', url: path, payload })
      t.equal(reply.json().model, 'fake')
    }
  }
})

t.test("every refusal is a plain error, also when a stream was asked for, in OpenAI's shape", async t => {
  const { app, models } = await build(t)
  const image = { type: 'image_url', image_url: { url: 'data:,x' } }
  const cases: Array<[object, number, string]> = [
    [{ messages: [] }, 400, 'invalid_value'],
    [{ messages: 'x' }, 400, 'invalid_type'],
    [{}, 400, 'missing_required_parameter'],
    [{ ...hello, model: 'gpt-9' }, 404, 'model_not_found'],
    [{ ...hello, temperature: 2.1 }, 400, 'invalid_value'],
    [{ ...hello, n: 0 }, 400, 'invalid_value'],
    [{ ...hello, seed: 2 ** 70 }, 400, 'invalid_value'],
    [{ ...hello, logit_bias: { 1000: 1 } }, 400, 'invalid_value'],
    [{ ...hello, top_logprobs: 21, logprobs: true }, 400, 'invalid_value'],
    [{ ...hello, stop: ['a', 'b', 'c', 'd', 'e'] }, 400, 'invalid_value'],
    [{ ...hello, max_tokens: 0 }, 400, 'invalid_value'],
    [{ ...hello, tool_choice: { type: 'function', function: { name: 'f' } } }, 400, 'invalid_value'],
    [{ messages: [{ role: 'user', content: 123 }] }, 400, 'invalid_type'],
    [{ messages: [{ role: 'user', content: [image] }] }, 400, 'unsupported_value'],
    [{ messages: [{ role: 'user', content: 'x '.repeat(5000) }] }, 400, 'context_length_exceeded']
  ]
  for (const stream of [false, true]) {
    for (const [body, status, code] of cases) {
      const reply = await app.inject({ method: 'POST', url, payload: { ...body, stream } })
      t.equal(reply.statusCode, status, JSON.stringify(body).slice(0, 80))
      t.strictSame(violations('ErrorResponse', reply.json()), [])
      t.equal(reply.json().error.code, code)
      t.match(reply.headers, { 'x-request-id': /^req_/, 'content-type': /^application\/json/ })
    }
  }
  t.match((await app.inject({ method: 'POST', url, payload: { ...hello, model: 'x' } })).json(), {
    error: { message: /'x' does not exist. Available: fake/, param: 'model' }
  })
  t.ok(models.engine.generations.every(({ sent }) => sent === 0))
})

t.test("the engine's verdicts are statuses with advice", async t => {
  const { app, models } = await build(t)
  const { script } = models.engine
  for (const stream of [false, true]) {
    const post = () => app.inject({ method: 'POST', url, payload: { ...hello, stream } })

    script.verdict = () => ({ kind: 'full', retryAfterMs: 1200, reason: 'pool' })
    const full = await post()
    t.match(full, { statusCode: 429, headers: { 'retry-after': '2', 'retry-after-ms': '1200' } })
    t.match(full.json(), { error: { code: 'pool_exhausted', type: 'rate_limit_exceeded' } })

    script.verdict = () => ({ kind: 'draining', retryAfterMs: 500 })
    t.match(await post(), { statusCode: 503, headers: { 'retry-after-ms': '500' } })

    script.verdict = () => ({ kind: 'tooLong', promptTokens: 9, limit: 8 })
    t.match((await post()).json(), {
      error: { code: 'context_length_exceeded', param: 'messages', n_prompt_tokens: 9, n_ctx: 8 }
    })

    script.verdict = () => ({ kind: 'invalid', param: 'constraint', message: 'not supported' })
    t.match(await post(), { statusCode: 400 })
    t.match((await post()).json(), { error: { code: 'invalid_value', param: 'response_format' } })
    script.verdict = null
  }
})

t.test('an engine that dies before the headers is a 503, in mid-stream an error event', async t => {
  const { app, models } = await build(t)
  const { script } = models.engine
  const post = (stream: boolean) => app.inject({ method: 'POST', url, payload: { ...hello, stream } })

  script.fail = { code: 'engine_crashed', afterTokens: -1 }
  for (const stream of [false, true]) {
    const reply = await post(stream)
    t.match(reply, { statusCode: 503, headers: { 'retry-after-ms': '1000' } })
    t.match(reply.json(), { error: { code: 'engine_crashed', type: 'server_error', param: null } })
  }

  script.fail = { code: 'engine_crashed', afterTokens: 3 }
  t.match(await post(false), { statusCode: 503 })
  const reply = await post(true)
  t.equal(reply.statusCode, 200)
  const { data } = parseEvents(reply.body)
  const error = data.pop()
  t.strictSame(violations('ErrorResponse', error), [])
  t.match(error, { error: { code: 'engine_crashed' } })
  t.ok(data.length >= 4)
  t.notOk(reply.body.includes('[DONE]'))
})

t.test('a model that cannot be loaded', async t => {
  const { app, models } = await build(t)
  const { ModelUnavailableError, EngineGoneError } = await import('../../src/models/types.js')
  const failure = { code: 'load_failed', message: 'the file is damaged' }
  const post = () => app.inject({ method: 'POST', url, payload: hello })
  models.model.engine = () => Promise.reject(new ModelUnavailableError(failure, null))
  t.match(await post(), { statusCode: 503, headers: { 'x-should-retry': 'false' } })
  models.model.engine = () => Promise.reject(new ModelUnavailableError(failure, 3000))
  t.match(await post(), { statusCode: 503, headers: { 'retry-after': '3' } })
  models.model.engine = () => Promise.reject(new EngineGoneError())
  t.match((await post()).json(), { error: { code: 'engine_crashed' } })
  models.model.engine = () => Promise.reject(new Error('a bug, with a secret'))
  const bug = await post()
  t.match(bug, { statusCode: 500 })
  t.notMatch(bug.body, /secret/)
})

t.test("a template that throws is a 400 with the template's message", async t => {
  const { fakeModels } = await import('./fake-engine.js')
  const chatTemplate = "{{ raise_exception('no such thing') }}"
  const { app } = await build(t, {}, fakeModels({ chatTemplate }))
  const reply = await app.inject({ method: 'POST', url, payload: hello })
  t.match(reply, { statusCode: 400 })
  t.match(reply.json(), { error: { code: 'template_error', message: /no such thing/ } })
  const broken = await build(t, {}, fakeModels({ chatTemplate: '{% if %}' }))
  t.match(await broken.app.inject({ method: 'POST', url, payload: hello }), { statusCode: 400 })
})
