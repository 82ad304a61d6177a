import { EventEmitter } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import type { ModelEvents } from '../../src/models/events.js'
import type { SupervisedModel } from '../../src/models/supervisor.js'
import rehearsal, { Validators } from '../../src/server/plugins/app/rehearsal.js'
import { templateOf } from '../../src/server/routes/loaded-model.js'
import { fakeInfo } from './fake-engine.js'

/** An app with two routes whose bodies are validated. */
async function twoRoutes(t: Test) {
  const validators = new Validators()
  const events = new EventEmitter<ModelEvents>()
  const app = Fastify({ ajv: { onCreate: validators.watch } })
  await app.register(rehearsal, { validators, events })
  for (const url of ['/a', '/b']) {
    app.post(url, { schema: { body: { type: 'object', required: ['x'] } } }, async () => 'ok')
  }
  t.teardown(() => app.close())
  return { app, validators, events }
}

t.test('a server that listens has used every validator once', async t => {
  const { app, validators } = await twoRoutes(t)
  await app.ready()
  t.equal(validators.waiting, 2, 'not before: an app that is only injected into has nobody waiting')
  await app.listen({ host: '127.0.0.1', port: 0 })
  for (let i = 0; validators.waiting > 0 && i < 100; i++) await turn()
  t.equal(validators.waiting, 0)
  const good = await app.inject({ method: 'POST', url: '/a', payload: { x: 1 } })
  const bad = await app.inject({ method: 'POST', url: '/a', payload: {} })
  t.same([good.statusCode, bad.statusCode], [200, 400], 'they say what they said before')
})

t.test(
  "a model's template is compiled when the model is ready; one that cannot be stops nothing",
  async t => {
    const { events } = await twoRoutes(t)
    let reads = 0
    const info = {
      ...fakeInfo,
      get chatTemplate() {
        reads++
        return null
      }
    }
    const become = (to: 'loading' | 'ready', of: typeof fakeInfo) =>
      events.emit('state', {
        model: { id: 'fake', info: of } as SupervisedModel,
        from: 'unloaded',
        to,
        failure: null
      })
    become('loading', info)
    t.equal(reads, 0)
    become('ready', info)
    t.ok(reads > 0)
    const before = reads
    templateOf(info)
    t.equal(reads, before, 'nothing is left to do for the first request')
    t.doesNotThrow(() => become('ready', { ...fakeInfo, chatTemplate: '{% if %}' }))
  }
)
