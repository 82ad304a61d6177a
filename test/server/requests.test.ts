import { connect } from 'node:net'
import t from 'tap'
import { violations } from '../support/openai-schema.js'
import { build, hello, listen } from './helper.js'

const url = '/v1/chat/completions'

t.test('bodies that are no JSON objects', async t => {
  const { app } = await build(t)
  const json = { 'content-type': 'application/json' }
  const cases: Array<[string | undefined, Record<string, string>, number, string]> = [
    ['{"messages": [', json, 400, 'invalid_json'],
    ['nonsense', json, 400, 'invalid_json'],
    ['', json, 400, 'invalid_body'],
    ['null', json, 400, 'invalid_body'],
    ['[]', json, 400, 'invalid_body'],
    ['"text"', json, 400, 'invalid_body'],
    [undefined, {}, 400, 'invalid_body'],
    [JSON.stringify(hello), { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    [
      JSON.stringify(hello),
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'unsupported_media_type'
    ],
    [JSON.stringify(hello), { 'content-type': 'nonsense' }, 415, 'unsupported_media_type']
  ]
  for (const [payload, headers, status, code] of cases) {
    const reply = await app.inject({ method: 'POST', url, payload, headers })
    t.equal(reply.statusCode, status, `${payload} ${headers['content-type']}`)
    t.strictSame(violations('ErrorResponse', reply.json()), [])
    t.equal(reply.json().error.code, code, `${payload} ${headers['content-type']}`)
    t.match(reply.headers['x-request-id'], /^req_/)
  }
})

t.test('a body with charset, and one that tries to reach a prototype', async t => {
  const { app } = await build(t)
  const headers = { 'content-type': 'application/json; charset=utf-8' }
  const payload = `{"__proto__": {"stream": true}, ${JSON.stringify(hello).slice(1)}`
  const reply = await app.inject({ method: 'POST', url, payload, headers })
  t.equal(reply.statusCode, 200)
  t.match(reply.headers['content-type'], /json/)
})

t.test('a body above the limit', async t => {
  const { app } = await build(t, { bodyLimit: 2000 })
  const payload = { messages: [{ role: 'user', content: 'x'.repeat(3000) }] }
  const reply = await app.inject({ method: 'POST', url, payload })
  t.equal(reply.statusCode, 413)
  t.match(reply.json(), { error: { code: 'body_too_large', message: /2000 bytes/ } })
})

t.test('unknown paths and other methods', async t => {
  const { app } = await build(t)
  const cases: Array<['GET' | 'POST' | 'PUT' | 'DELETE' | 'OPTIONS', string, number, string]> = [
    ['GET', '/nothing', 404, 'not_found'],
    ['POST', '/v1/nothing', 404, 'not_found'],
    ['GET', '/%E0%A4%A', 400, 'bad_request'],
    ['GET', url, 405, 'method_not_allowed'],
    ['DELETE', '/v1/models/fake', 405, 'method_not_allowed'],
    ['PUT', '/health', 405, 'method_not_allowed'],
    ['OPTIONS', url, 405, 'method_not_allowed'],
    ['GET', `/v1/models/${'x'.repeat(600)}`, 414, 'uri_too_long']
  ]
  for (const [method, path, status, code] of cases) {
    const reply = await app.inject({ method, url: path })
    t.equal(reply.statusCode, status, `${method} ${path}`)
    t.strictSame(violations('ErrorResponse', reply.json()), [])
    t.equal(reply.json().error.code, code)
    t.match(reply.headers['x-request-id'], /^req_/)
  }
  const wrong = await app.inject({ method: 'GET', url })
  t.equal(wrong.headers.allow, 'POST')
  const models = await app.inject({
    method: 'POST',
    url: '/v1/models',
    payload: 'x',
    headers: { 'content-type': 'a/b' }
  })
  t.match(models, { statusCode: 405, headers: { allow: 'GET, HEAD' } })
})

t.test("a client's own request id is kept when it is harmless", async t => {
  const { app } = await build(t)
  const idOf = async (given: string) => {
    const reply = await app.inject({ url: '/health', headers: { 'x-request-id': given } })
    return reply.headers['x-request-id']
  }
  t.equal(await idOf('trace-1.a_B'), 'trace-1.a_B')
  t.match(await idOf('a b'), /^req_/)
  t.match(await idOf('x'.repeat(200)), /^req_/)
})

t.test('bytes that are no HTTP request', async t => {
  const { app, url: address } = await listen(t)
  const port = Number(new URL(address).port)
  const send = (bytes: string) =>
    new Promise<string>((resolve, reject) => {
      let text = ''
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
      socket.on('data', data => {
        text += data
      })
      socket.on('end', () => resolve(text))
      socket.on('error', reject)
    })
  const reply = await send('nonsense\r\n\r\n')
  t.match(reply, /^HTTP\/1\.1 400 Bad Request\r\n/)
  t.match(reply, /\r\nx-request-id: req_/)
  t.strictSame(violations('ErrorResponse', JSON.parse(reply.split('\r\n\r\n')[1] as string)), [])
  const large = await send(`GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(40_000)}\r\n\r\n`)
  t.match(large, /^HTTP\/1\.1 431 /)
  t.match(large, /headers_too_large/)
  t.equal((await app.inject('/health')).statusCode, 200)
})

t.test('the rate limit counts by caller, and leaves health alone', async t => {
  const { app } = await build(t, { rateLimit: 2, apiKeys: ['one', 'two'] })
  const get = (key: string) => app.inject({ url: '/v1/models', headers: { authorization: `Bearer ${key}` } })
  t.equal((await get('one')).statusCode, 200)
  t.equal((await get('one')).statusCode, 200)
  const refused = await get('one')
  t.equal(refused.statusCode, 429)
  t.strictSame(violations('ErrorResponse', refused.json()), [])
  t.equal(refused.json().error.code, 'rate_limit_exceeded')
  t.ok(Number(refused.headers['retry-after']) <= 60)
  t.ok(Number(refused.headers['retry-after-ms']) > 0)
  t.match(refused.headers['x-request-id'], /^req_/)
  t.equal((await get('two')).statusCode, 200)
  for (let i = 0; i < 5; i += 1) t.equal((await app.inject('/health/live')).statusCode, 200)
})

t.test('without a rate limit nothing is counted', async t => {
  const { app } = await build(t)
  for (let i = 0; i < 50; i += 1) t.equal((await app.inject('/v1/models')).statusCode, 200)
})

t.test('what is nested too deeply is a 400, wherever it stands', async t => {
  const { app } = await build(t)
  const deep = `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`
  const call = { id: '1', type: 'function', function: { name: 'f', arguments: deep } }
  const messages = [
    { role: 'user', content: 'x' },
    { role: 'assistant', tool_calls: [call] },
    { role: 'tool', tool_call_id: '1', content: 'x' }
  ]
  const input = [
    { role: 'user', content: 'x' },
    { type: 'function_call', call_id: '1', name: 'f', arguments: deep },
    { type: 'function_call_output', call_id: '1', output: 'x' }
  ]
  const use = `{"type":"tool_use","id":"1","name":"f","input":${deep}}`
  const schema = `{"type":"json_schema","json_schema":{"name":"x","schema":${deep}}}`
  for (const [path, body] of [
    ['/v1/chat/completions', JSON.stringify({ messages })],
    ['/v1/chat/completions', JSON.stringify({ messages }).replace(/[}]+"/, '"')],
    ['/v1/responses', JSON.stringify({ input })],
    ['/v1/messages', `{"max_tokens":3,"messages":[{"role":"user","content":[${use}]}]}`],
    ['/v1/chat/completions', `{"messages":[{"role":"user","content":"x"}],"response_format":${schema}}`],
    ['/v1/embeddings', deep]
  ] as const) {
    const headers = { 'content-type': 'application/json' }
    const reply = await app.inject({ method: 'POST', url: path, payload: body, headers })
    t.equal(reply.statusCode, 400, path)
    t.match(reply.json().error.message, /nested deeper than 200 levels/, path)
  }
})
