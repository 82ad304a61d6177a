import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { EngineGoneError, ModelUnavailableError } from '../../src/models/types.js'
import { buildApp } from '../../src/server/app.js'
import { violations } from '../support/openai-schema.js'
import { fakeEmbeddings } from './fake-embeddings.js'
import { fakeModels } from './fake-engine.js'
import { defaultOptions, silent } from './helper.js'

const url = '/v1/embeddings'

async function build(t: Test, embeddings: ReturnType<typeof fakeEmbeddings> | null = fakeEmbeddings()) {
  const models = fakeModels()
  const app = await buildApp({ models, embeddings, config: defaultOptions, logger: silent })
  t.teardown(() => app.close())
  const post = (payload: object, path = url) => app.inject({ method: 'POST', url: path, payload })
  return { app, embeddings: embeddings as ReturnType<typeof fakeEmbeddings>, models, post }
}

t.test('floats and base64', async t => {
  const { post } = await build(t)
  for (const path of [url, '/embeddings']) {
    const reply = await post({ model: 'vectors', input: ['abc', ''.padEnd(7, 'x')], user: 'me' }, path)
    t.equal(reply.statusCode, 200)
    t.strictSame(violations('CreateEmbeddingResponse', reply.json()), [])
    t.match(reply.json(), {
      object: 'list',
      model: 'vectors',
      data: [{ index: 0 }, { index: 1 }],
      usage: { prompt_tokens: 10, total_tokens: 10 }
    })
    const { embedding } = reply.json().data[0]
    t.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-6)
    const encoded = await post({ input: 'abc', encoding_format: 'base64' }, path)
    const bytes = Buffer.from(encoded.json().data[0].embedding, 'base64')
    t.strictSame(
      Array.from({ length: 4 }, (_, index) => bytes.readFloatLE(index * 4)),
      embedding
    )
  }
})

t.test('every form of input', async t => {
  const { post, embeddings } = await build(t)
  const forms: Array<[unknown, unknown[]]> = [
    ['a text', ['a text']],
    [
      ['one', 'two'],
      ['one', 'two']
    ],
    [[5, 6, 7], [[5, 6, 7]]],
    [
      [[5], [6, 7]],
      [[5], [6, 7]]
    ]
  ]
  for (const [input, asked] of forms) {
    t.equal((await post({ input })).statusCode, 200, JSON.stringify(input))
    t.strictSame(embeddings.asked.at(-1), asked)
  }
})

t.test('which model', async t => {
  const { post } = await build(t)
  for (const model of [undefined, 'default', 'vectors']) {
    t.equal((await post({ input: 'x', model })).json().model, 'vectors')
  }
  const chat = await post({ input: 'x', model: 'fake' })
  t.match(chat.json(), { error: { code: 'unsupported_value', param: 'model', message: /ask 'vectors'/ } })
  t.match((await post({ input: 'x', model: 'nothing' })).json(), { error: { code: 'model_not_found' } })

  const none = await build(t, null)
  for (const model of [undefined, 'fake']) {
    const reply = await none.post({ input: 'x', model })
    t.match(reply.json(), { error: { code: 'unsupported_value', message: /--embedding-model/ } })
  }
})

t.test('a chat model that answers to any name leaves embeddings to the embedding model', async t => {
  const { post, models } = await build(t)
  models.find = () => models.model
  t.equal((await post({ input: 'x', model: 'text-embedding-3-small' })).json().model, 'vectors')
  t.equal((await post({ input: 'x', model: 'fake' })).statusCode, 400)
})

t.test('refusals', async t => {
  const { post, embeddings } = await build(t)
  const cases: Array<[object, string, string]> = [
    [{}, 'missing_required_parameter', 'input'],
    [{ input: '' }, 'invalid_value', 'input'],
    [{ input: ['a', ''] }, 'invalid_value', 'input.1'],
    [{ input: [] }, 'invalid_value', 'input'],
    [{ input: [[]] }, 'invalid_value', 'input.0'],
    [{ input: [1.5] }, 'invalid_type', 'input.0'],
    [{ input: 5 }, 'invalid_type', 'input'],
    [{ input: Array.from({ length: 2049 }, () => 'x') }, 'invalid_value', 'input'],
    [{ input: 'x', encoding_format: 'hex' }, 'invalid_value', 'encoding_format'],
    [{ input: 'x', dimensions: 3 }, 'unsupported_value', 'dimensions'],
    [{ input: 'x', dimensions: 0 }, 'invalid_value', 'dimensions']
  ]
  for (const [payload, code, param] of cases) {
    const reply = await post(payload)
    t.equal(reply.statusCode, 400, JSON.stringify(payload).slice(0, 60))
    t.strictSame(violations('ErrorResponse', reply.json()), [])
    t.match(reply.json(), { error: { code, param } }, JSON.stringify(payload).slice(0, 60))
  }
  t.equal(embeddings.asked.length, 0)
  t.equal((await post({ input: 'x', dimensions: 4 })).statusCode, 200, 'its own dimensions')
})

t.test('what the process says', async t => {
  const { post, embeddings } = await build(t)
  embeddings.refusal = { kind: 'tooLong', index: 1, tokens: 600, limit: 512 }
  t.match((await post({ input: ['a', 'b'] })).json(), {
    error: { code: 'context_length_exceeded', param: 'input.1', n_prompt_tokens: 600, n_ctx: 512 }
  })
  embeddings.refusal = { kind: 'invalid', index: 0, message: 'no such token.' }
  t.match(await post({ input: [5] }), { statusCode: 400 })
  embeddings.refusal = { kind: 'full', retryAfterMs: 700 }
  t.match(await post({ input: 'x' }), { statusCode: 429, headers: { 'retry-after-ms': '700' } })
  embeddings.refusal = null
  embeddings.failure = new EngineGoneError()
  t.match(await post({ input: 'x' }), { statusCode: 503, headers: { 'retry-after': '1' } })
  embeddings.failure = new ModelUnavailableError({ code: 'load_failed', message: 'damaged' }, null)
  t.match(await post({ input: 'x' }), { statusCode: 503, headers: { 'x-should-retry': 'false' } })
  embeddings.failure = new Error('a bug')
  t.match(await post({ input: 'x' }), { statusCode: 500 })
})

t.test('a client that goes away is not worked for', async t => {
  const { app, embeddings } = await build(t)
  embeddings.hold = new Promise(() => {})
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const pending = httpRequest(`${address}${url}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' }
  })
  pending.end(JSON.stringify({ input: 'x' }))
  const failed = once(pending, 'error')
  while (embeddings.asked.length === 0) await setTimeout(5)
  pending.destroy(new Error('gone'))
  await failed
  await setTimeout(100)
  t.equal(embeddings.aborted, 1)
})

t.test('rerank', async t => {
  const { post } = await build(t, fakeEmbeddings('rerank'))
  const documents = ['long document', 'short', { text: 'mid-length' }]
  for (const path of ['/v1/rerank', '/rerank', '/v1/reranking']) {
    const reply = await post({ query: 'q', documents, top_n: 2, return_documents: true }, path)
    t.equal(reply.statusCode, 200)
    t.strictSame(reply.json(), {
      object: 'list',
      model: 'vectors',
      results: [
        { index: 1, relevance_score: 1 / 6, document: { text: 'short' } },
        { index: 2, relevance_score: 1 / 11, document: { text: 'mid-length' } }
      ],
      usage: { prompt_tokens: 7, total_tokens: 7 }
    })
  }
  t.strictSame((await post({ query: 'q', documents: ['a'] }, '/v1/rerank')).json().results, [
    { index: 0, relevance_score: 0.5 }
  ])
  t.match((await post({ query: 'q', documents: [] }, '/v1/rerank')).json(), { error: { param: 'documents' } })
  t.match((await post({ documents: ['a'] }, '/v1/rerank')).json(), { error: { param: 'query' } })
  t.match((await post({ input: 'x' })).json(), { error: { code: 'unsupported_value', param: 'model' } })

  const vectors = await build(t)
  const reply = await vectors.post({ query: 'q', documents: ['a'] }, '/v1/rerank')
  t.equal(reply.statusCode, 400)
  t.match(reply.json(), { error: { code: 'unsupported_value', message: /reranking model/ } })
})

t.test('listed beside the others', async t => {
  const { app } = await build(t)
  const list = (await app.inject('/v1/models')).json()
  t.strictSame(violations('ListModelsResponse', list), [])
  t.match(list.data, [
    { id: 'fake', kind: 'text', capabilities: ['chat', 'completion'], context_length: 2048 },
    { id: 'vectors', kind: 'embedding', capabilities: ['embedding'], context_length: 512 }
  ])
  t.strictSame((await app.inject('/v1/models/vectors')).json(), list.data[1])
})

t.test('models do what they can: the other kind is a 400', async t => {
  const { post } = await build(t)
  const messages = [{ role: 'user', content: 'Hi' }]
  for (const [path, payload] of [
    ['/v1/chat/completions', { messages }],
    ['/v1/completions', { prompt: 'Hi' }],
    ['/v1/responses', { input: 'Hi' }],
    ['/v1/messages', { messages, max_tokens: 5 }],
    ['/tokenize', { content: 'Hi' }]
  ] as const) {
    const reply = await post({ ...payload, model: 'vectors' }, path)
    t.equal(reply.statusCode, 400, path)
    t.match(reply.json().error, { message: /'vectors' does not support chat/ })
  }
  t.match((await post({ model: 'fake', input: 'Hi' })).json().error, {
    message: /generates text/,
    param: 'model'
  })
})

t.test('tokens and replies are counted under the name of the model', async t => {
  const { app, post } = await build(t)
  await post({ input: 'abc' })
  await post({ model: 'vectors', input: ['abc', 'defg'] })
  const { body } = await app.inject('/metrics')
  t.match(body, /octavo_embedding_tokens_total\{model_name="vectors"\} \d+/)
  t.match(
    body,
    /octavo_http_requests_total\{model_name="vectors",route="\/v1\/embeddings",method="POST",status="200"\} 2/
  )
})
