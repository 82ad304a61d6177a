import t from 'tap'
import { violations } from '../support/openai-schema.js'
import { build, hello } from './helper.js'

t.test('tokenize', async t => {
  const { app, models } = await build(t)
  const post = async (payload: object) => app.inject({ method: 'POST', url: '/tokenize', payload })
  const calls: unknown[] = []
  const call = models.engine.call.bind(models.engine)
  models.engine.call = ((method, params) => {
    calls.push([method, params])
    return call(method, params)
  }) as typeof models.engine.call
  t.strictSame((await post({ content: 'eight...' })).json(), { tokens: [0, 1] })
  t.strictSame(calls, [['tokenize', { text: 'eight...', addSpecial: false, parseSpecial: true }]])
  t.strictSame((await post({})).json(), { tokens: [] })
  t.strictSame((await post({ content: [70, 'text', 71] })).json(), { tokens: [70, 0, 71] })
  t.strictSame((await post({ content: [70, 233], with_pieces: true })).json(), {
    tokens: [
      { id: 70, piece: 'F' },
      { id: 233, piece: 'é' }
    ]
  })
  calls.length = 0
  await post({ content: ['a', 'b'], add_special: true, parse_special: false })
  t.strictSame(calls, [
    ['tokenize', { text: 'a', addSpecial: true, parseSpecial: false }],
    ['tokenize', { text: 'b', addSpecial: false, parseSpecial: false }]
  ])
  for (const content of [5, [1000], [-1], [null], [1.5]]) {
    const reply = await post({ content })
    t.equal(reply.statusCode, 400, JSON.stringify(content))
    t.strictSame(violations('ErrorResponse', reply.json()), [])
  }
  t.equal((await post({ content: 'x', model: 'nothing' })).statusCode, 404)
})

t.test('bytes that are no whole character are given as numbers', async t => {
  const { app, models } = await build(t)
  models.engine.call = (async (method: string) =>
    method === 'pieces' ? [[195]] : [130]) as typeof models.engine.call
  const payload = { content: 'x', with_pieces: true }
  t.strictSame((await app.inject({ method: 'POST', url: '/tokenize', payload })).json(), {
    tokens: [{ id: 130, piece: [195] }]
  })
})

t.test('detokenize', async t => {
  const { app } = await build(t)
  const post = async (payload: object) => app.inject({ method: 'POST', url: '/detokenize', payload })
  t.strictSame((await post({ tokens: [72, 105] })).json(), { content: 'Hi' })
  t.strictSame((await post({})).json(), { content: '' })
  for (const tokens of ['x', [1000], [-1], ['a']]) {
    t.equal((await post({ tokens })).statusCode, 400, JSON.stringify(tokens))
  }
})

t.test('apply-template renders what the chat route would', async t => {
  const { app, models } = await build(t)
  const reply = await app.inject({ method: 'POST', url: '/apply-template', payload: hello })
  await app.inject({ method: 'POST', url: '/v1/chat/completions', payload: hello })
  t.match(models.engine.last.request.prompt, [{ text: reply.json().prompt }])
  const none = await app.inject({ method: 'POST', url: '/apply-template', payload: {} })
  t.match(none.json(), { error: { code: 'missing_required_parameter', param: 'messages' } })
})

t.test('props', async t => {
  const { app, models } = await build(t)
  const reply = await app.inject('/props')
  t.match(reply.json(), {
    default_generation_settings: { n_ctx: 2048, params: { temperature: 1 } },
    model_alias: 'fake',
    model_path: '/models/fake.gguf',
    modalities: { vision: false, audio: false },
    chat_template: '',
    bos_token: '',
    eos_token: '<|im_end|>',
    is_sleeping: false
  })
  t.equal((await app.inject('/props?model=fake')).statusCode, 200)
  t.equal((await app.inject('/props?model=nothing')).statusCode, 404)
  t.equal((await app.inject({ method: 'POST', url: '/props', payload: {} })).statusCode, 405)
  models.model.engine = () => Promise.reject(new Error('x'))
  t.equal((await app.inject('/props')).statusCode, 500)
})
