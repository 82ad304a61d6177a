import t from 'tap'
import { violations } from '../support/openai-schema.js'
import { build } from './helper.js'

t.test('models', async t => {
  const { app, models } = await build(t)
  for (const prefix of ['/v1', '']) {
    const list = await app.inject(`${prefix}/models`)
    t.strictSame(violations('ListModelsResponse', list.json()), [])
    t.match(list.json().data, [
      { id: 'fake', max_model_len: 2048, state: 'ready', meta: { n_ctx_train: 2048 } }
    ])
    const one = await app.inject(`${prefix}/models/fake`)
    t.strictSame(violations('Model', one.json()), [])
    t.strictSame(one.json(), list.json().data[0])
    const none = await app.inject(`${prefix}/models/other`)
    t.equal(none.statusCode, 404)
    t.match(none.json(), { error: { code: 'model_not_found' } })
  }
  models.model.info = null
  t.strictSame(violations('Model', (await app.inject('/v1/models/fake')).json()), [])
})

t.test('an id with a slash', async t => {
  const { app, models } = await build(t)
  const found: Array<string | undefined> = []
  models.find = name => {
    found.push(name)
    return models.model
  }
  t.equal((await app.inject(`/v1/models/${encodeURIComponent('owner/repo:Q4')}`)).statusCode, 200)
  t.strictSame(found, ['owner/repo:Q4'])
})

t.test('health by the state of the default model', async t => {
  const { app, models } = await build(t)
  const statuses = async () => {
    const paths = ['/health/live', '/health/startup', '/health/ready', '/health']
    return Promise.all(paths.map(async path => (await app.inject(path)).statusCode))
  }
  const { info } = models.model
  t.strictSame(await statuses(), [200, 200, 200, 200])

  models.model.state = 'loading'
  models.model.info = null
  t.strictSame(await statuses(), [200, 503, 503, 503])
  const loading = await app.inject('/health')
  t.match(loading.json(), {
    status: 'down',
    reason: 'loading',
    models: [{ id: 'fake', state: 'loading', progress: 1 }]
  })
  t.strictSame(violations('ErrorResponse', loading.json()), [])

  models.model.info = info
  t.strictSame(await statuses(), [200, 200, 503, 503], 'loading again after a crash: it had started')
  models.model.state = 'draining'
  t.strictSame(await statuses(), [200, 200, 503, 503])
  models.model.state = 'unloaded'
  t.strictSame(await statuses(), [200, 200, 200, 200], 'loaded for whoever asks')

  models.model.state = 'failed'
  models.model.info = null
  models.model.failure = { code: 'load_failed', message: 'x' }
  t.strictSame(await statuses(), [200, 503, 503, 503])
  t.match((await app.inject('/health')).json(), { models: [{ failure: 'load_failed' }] })

  models.find = () => undefined
  t.strictSame(await statuses(), [200, 503, 503, 503])
})
