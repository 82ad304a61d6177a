import t from 'tap'
import { isLoopback } from '../../src/server/plugins/app/host-guard.js'
import { violations } from '../support/openai-schema.js'
import { build, hello } from './helper.js'

const url = '/v1/chat/completions'

t.test('API keys: bearer or x-api-key, any of several', async t => {
  const { app, models } = await build(t, { apiKeys: ['first-key', 'second-key'] })
  const post = (headers: Record<string, string>) =>
    app.inject({ method: 'POST', url, payload: hello, headers })
  for (const headers of [
    {},
    { authorization: 'Bearer wrong' },
    { authorization: 'Basic first-key' },
    { authorization: 'Bearer first-key2' },
    { 'x-api-key': '' }
  ]) {
    const reply = await post(headers as Record<string, string>)
    t.equal(reply.statusCode, 401, JSON.stringify(headers))
    t.strictSame(violations('ErrorResponse', reply.json()), [])
    t.match(reply.json(), { error: { type: 'authentication_error', code: 'invalid_api_key' } })
    t.match(reply.headers, { 'www-authenticate': 'Bearer', 'x-request-id': /^req_/ })
  }
  t.equal(models.engine.generations.length, 0)
  t.equal((await post({ authorization: 'Bearer first-key' })).statusCode, 200)
  t.equal((await post({ authorization: 'bearer second-key' })).statusCode, 200)
  t.equal((await post({ 'x-api-key': 'second-key' })).statusCode, 200)
  t.equal((await post({ authorization: 'Bearer other', 'x-api-key': 'second-key' })).statusCode, 200)
  const [first, second, third] = models.engine.generations.map(({ request }) => request)
  t.not(first?.salt, second?.salt)
  t.equal(second?.salt, third?.salt)
  t.equal(second?.tenant, third?.tenant)
  t.notMatch(JSON.stringify(first), 'first-key', 'the key itself goes nowhere')
})

t.test('health and preflights need no key', async t => {
  const { app } = await build(t, { apiKeys: ['k'], corsOrigins: ['https://app.example'] })
  for (const path of ['/health', '/health/live', '/health/ready', '/health/startup']) {
    t.equal((await app.inject(path)).statusCode, 200, path)
  }
  const preflight = await app.inject({
    method: 'OPTIONS',
    url,
    headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' }
  })
  t.equal(preflight.statusCode, 204)
  t.equal(preflight.headers['access-control-allow-origin'], 'https://app.example')
})

t.test('bound to loopback: foreign hosts and origins are refused', async t => {
  const { app } = await build(t, { corsOrigins: ['https://app.example:8443'] })
  const status = async (headers: Record<string, string>) =>
    (await app.inject({ url: '/v1/models', headers })).statusCode
  for (const host of [
    '127.0.0.1:8080',
    'localhost',
    'LOCALHOST:1',
    '[::1]:8080',
    'a.localhost',
    'app.example'
  ]) {
    t.equal(await status({ host }), 200, host)
  }
  for (const host of [
    'evil.example',
    'evil.example:8080',
    '127.0.0.1.evil.example',
    '192.168.0.5',
    'localhost.evil'
  ]) {
    t.equal(await status({ host }), 403, host)
  }
  for (const origin of ['http://localhost:3000', 'http://127.0.0.1:8080', 'https://app.example:8443']) {
    t.equal(await status({ origin }), 200, origin)
  }
  for (const origin of ['https://evil.example', 'null', 'http://localhost.evil', 'file://']) {
    t.equal(await status({ origin }), 403, origin)
  }
  const refused = await app.inject({ method: 'POST', url, payload: hello, headers: { host: 'evil.example' } })
  t.strictSame(violations('ErrorResponse', refused.json()), [])
  t.match(refused.json(), { error: { code: 'forbidden_host', type: 'permission_error' } })
  t.match(refused.headers['x-request-id'], /^req_/)
})

t.test('bound to the network: any host name', async t => {
  const { app } = await build(t, { host: '0.0.0.0', apiKeys: ['k'] })
  const headers = { host: 'my-server.lan', origin: 'https://other.example', 'x-api-key': 'k' }
  const reply = await app.inject({ url: '/v1/models', headers })
  t.equal(reply.statusCode, 200)
  t.notOk(reply.headers['access-control-allow-origin'])
})

t.test('CORS headers only for allowed origins', async t => {
  const { app } = await build(t, { host: '0.0.0.0', corsOrigins: ['https://app.example'] })
  const allow = async (origin: string) =>
    (await app.inject({ url: '/v1/models', headers: { origin } })).headers['access-control-allow-origin']
  t.equal(await allow('https://app.example'), 'https://app.example')
  t.equal(await allow('https://evil.example'), undefined)
  const open = await build(t, { corsOrigins: ['*'] })
  const reply = await open.app.inject({ url: '/v1/models', headers: { origin: 'https://any.example' } })
  t.equal(reply.headers['access-control-allow-origin'], '*')
  const exposed = String(reply.headers['access-control-expose-headers']).split(', ')
  for (const name of [
    'x-request-id',
    'retry-after',
    'x-octavo-cache',
    'x-octavo-queue-waiting',
    'x-ratelimit-remaining'
  ])
    t.ok(exposed.includes(name), name)
})

t.test('what is loopback', async t => {
  for (const host of ['127.0.0.1', '127.8.9.1', '::1', '[::1]', 'localhost', '::ffff:127.0.0.1'])
    t.ok(isLoopback(host))
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.com', '128.0.0.1', '']) t.notOk(isLoopback(host))
})
