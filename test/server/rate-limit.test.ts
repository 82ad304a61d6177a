import Fastify from 'fastify'
import t from 'tap'
import auth from '../../src/server/plugins/app/auth.js'
import errors from '../../src/server/plugins/app/errors.js'
import requestId from '../../src/server/plugins/app/request-id.js'
import rateLimit, { type RedisConstructor } from '../../src/server/plugins/external/rate-limit.js'
import { violations } from '../support/openai-schema.js'
import { build, defaultOptions, hello } from './helper.js'

const url = '/v1/chat/completions'

t.test('off by default', async t => {
  const { app } = await build(t)
  for (let i = 0; i < 50; i++) {
    const reply = await app.inject({ method: 'POST', url, payload: hello })
    t.equal(reply.statusCode, 200)
    t.notOk('x-ratelimit-limit' in reply.headers)
  }
})

t.test('per key; health and metrics are never limited', async t => {
  const { app } = await build(t, { apiKeys: ['a', 'b'], rateLimit: 2 })
  const post = (key: string) =>
    app.inject({ method: 'POST', url, payload: hello, headers: { 'x-api-key': key } })
  t.equal((await post('a')).statusCode, 200)
  t.equal((await post('a')).statusCode, 200)
  const refused = await post('a')
  t.equal(refused.statusCode, 429)
  t.strictSame(violations('ErrorResponse', refused.json()), [])
  t.match(refused.json(), { error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } })
  const ms = Number(refused.headers['retry-after-ms'])
  t.ok(ms > 0 && ms <= 60_000, `${ms}`)
  t.equal(Number(refused.headers['retry-after']), Math.ceil(ms / 1000))
  t.match(refused.headers['x-request-id'], /^req_/)
  t.equal((await post('b')).statusCode, 200, 'another key has its own')
  for (const path of ['/health', '/health/live', '/health/ready', '/metrics', '/stats']) {
    for (let i = 0; i < 4; i++) {
      t.equal((await app.inject({ url: path, headers: { 'x-api-key': 'a' } })).statusCode, 200, path)
    }
  }
})

t.test('per address where there are no keys', async t => {
  const { app } = await build(t, { rateLimit: 1 })
  const from = async (remoteAddress: string) =>
    (await app.inject({ method: 'POST', url, payload: hello, remoteAddress })).statusCode
  t.equal(await from('10.0.0.1'), 200)
  t.equal(await from('10.0.0.1'), 429)
  t.equal(await from('10.0.0.2'), 200)
})

/** What @fastify/rate-limit's store asks of ioredis, without Redis. */
class FakeRedis {
  static counts = new Map<string, number>()
  static down = false
  static closed = 0
  constructor(
    readonly url: string,
    readonly options: object
  ) {}
  on() {}
  defineCommand() {}
  rateLimitRead() {}
  rateLimit(
    key: string,
    window: number,
    _max: number,
    _continue: boolean,
    _backoff: boolean,
    done: (error: Error | null, result?: [number, number]) => void
  ): void {
    if (FakeRedis.down) {
      done(new Error('no Redis'))
      return
    }
    const count = (FakeRedis.counts.get(key) ?? 0) + 1
    FakeRedis.counts.set(key, count)
    done(null, [count, window])
  }
  async quit() {
    FakeRedis.closed++
  }
  disconnect() {}
}

/** A server of which nothing but the limit is there. */
async function limited(redis: RedisConstructor | Error, rateLimitRedis = 'redis://127.0.0.1:1') {
  const app = Fastify()
  const config = { ...defaultOptions, rateLimit: 2, rateLimitRedis }
  await app.register(errors)
  await app.register(requestId)
  await app.register(auth, { config })
  await app.register(rateLimit, {
    config,
    loadRedis: async () => {
      if (redis instanceof Error) throw redis
      return redis
    }
  })
  app.get('/', async () => 'ok')
  return app
}

t.test('several servers count together in Redis', async t => {
  const one = await limited(FakeRedis)
  const two = await limited(FakeRedis)
  t.equal((await one.inject('/')).statusCode, 200)
  t.equal((await two.inject('/')).statusCode, 200)
  t.equal((await one.inject('/')).statusCode, 429)
  t.match([...FakeRedis.counts.keys()].join(), /octavo-rate-limit-.*127\.0\.0\.1/)
  FakeRedis.down = true
  t.equal((await one.inject('/')).statusCode, 200, 'without Redis nobody is refused')
  await one.close()
  await two.close()
  t.equal(FakeRedis.closed, 2)
})

t.test('without the package it says what is missing', async t => {
  await t.rejects(limited(new Error('--rate-limit-redis needs the npm package ioredis')), /ioredis/)
  const installed = await import('ioredis' as string).then(
    () => true,
    () => false
  )
  if (installed) return t.comment('ioredis is installed here: its absence is not tested')
  await t.rejects(build(t, { rateLimit: 1, rateLimitRedis: 'redis://127.0.0.1:1' }), /npm install ioredis/)
})
