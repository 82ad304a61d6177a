import t, { type Test } from 'tap'
import { createModels } from '../../src/models/registry.js'
import { buildApp } from '../../src/server/app.js'
import type { ServerOptions } from '../../src/server/options.js'
import { fakeEngine, hosted, silent as silentModels } from '../models/helpers.js'
import { build, defaultOptions, silent } from './helper.js'

async function admin(t: Test, options: Partial<ServerOptions> = {}) {
  const registry = createModels({
    models: Array.from({ length: 100 }, (_, i) => ({ id: `m${i}`, ...hosted() })),
    entry: fakeEngine,
    logger: silentModels
  })
  const app = await buildApp({
    models: registry,
    registry,
    config: { ...defaultOptions, ...options },
    logger: silent
  })
  t.teardown(async () => {
    await app.close()
    await registry.drain({ timeoutMs: 0 })
  })
  return app
}

const url = '/admin/models'

t.test('without an admin key: programs of this machine only', async t => {
  const app = await admin(t, { host: '0.0.0.0', apiKeys: ['secret'] })
  t.equal((await app.inject({ url })).statusCode, 200, 'no API key is asked for')
  const foreign = [
    { remoteAddress: '192.168.1.7' },
    { headers: { origin: 'https://evil.example' } },
    { headers: { host: 'evil.example' } }
  ]
  for (const request of foreign) {
    const reply = await app.inject({ url, ...request })
    t.equal(reply.statusCode, 403)
    t.equal(reply.json().error.code, 'admin_only_local')
  }
  t.equal((await app.inject({ url: '/admin/drain', method: 'POST', ...foreign[1] })).statusCode, 403)
})

t.test('with one: whoever has it, and nobody else', async t => {
  const app = await admin(t, { host: '0.0.0.0', adminKey: 'admin', apiKeys: ['secret'] })
  for (const headers of [{}, { 'x-api-key': 'secret' }, { authorization: 'Bearer adminn' }]) {
    const reply = await app.inject({ url, headers })
    t.equal(reply.statusCode, 401)
    t.equal(reply.json().error.code, 'invalid_admin_key')
  }
  for (const headers of [{ authorization: 'Bearer admin' }, { 'x-api-key': 'admin' }]) {
    t.equal((await app.inject({ url, headers, remoteAddress: '192.168.1.7' })).statusCode, 200)
  }
  t.equal((await app.inject({ url: '/v1/models', headers: { 'x-api-key': 'admin' } })).statusCode, 401)
})

t.test('a listing of 100 models takes no time', async t => {
  const app = await admin(t)
  await app.inject({ url })
  const began = performance.now()
  const reply = await app.inject({ url })
  const ms = performance.now() - began
  t.equal(reply.json().data.length, 100)
  t.ok(ms < 30, `${ms} ms`)
})

t.test('where models cannot be managed there are no such routes', async t => {
  const { app } = await build(t)
  t.equal((await app.inject({ url })).statusCode, 404)
})
