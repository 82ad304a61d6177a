import t from 'tap'
import { prefixSourceHeader } from '../../src/protocol/prefix-source.js'
import { build, hello, parseEvents } from './helper.js'

const name = 'x-octavo-cache'

t.test('the header in words', async t => {
  t.equal(prefixSourceHeader({ resident: 512, ram: 0, disk: 256 }), 'resident=512; ram=0; disk=256')
  t.equal(
    prefixSourceHeader({ resident: 0, ram: 1, disk: 0, miss: 'below_cost' }),
    'resident=0; ram=1; disk=0; miss=below_cost'
  )
})

t.test('whole answers of every route say where their prefix came from', async t => {
  const { app, models } = await build(t)
  models.engine.script.cached = 3
  const source = { resident: 3, ram: 0, disk: 0, miss: null }
  const routes: Array<[url: string, body: object]> = [
    ['/v1/chat/completions', hello],
    ['/v1/completions', { prompt: 'Hello there' }],
    ['/v1/messages', { ...hello, max_tokens: 9 }],
    ['/v1/responses', { input: 'Hello' }]
  ]
  for (const [url, body] of routes) {
    const reply = await app.inject({ method: 'POST', url, payload: body })
    t.equal(reply.statusCode, 200, url)
    t.equal(reply.headers[name], 'resident=3; ram=0; disk=0')
    t.same(reply.json().usage.octavo_cache, source)
  }
  const several = await app.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { prompt: ['one long prompt', 'and another one'] }
  })
  t.equal(several.headers[name], 'resident=6; ram=0; disk=0', 'all prompts together')
})

t.test('a stream that begins at once has it, one that waits tells in its usage', async t => {
  const { app, models } = await build(t)
  const { engine } = models
  engine.script.cached = 3
  const payload = { ...hello, stream: true, stream_options: { include_usage: true } }
  const ask = async () => {
    const reply = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload })
    const { usage } = parseEvents(reply.body).data.at(-2) as { usage: { octavo_cache: object } }
    t.same(usage.octavo_cache, { resident: 3, ram: 0, disk: 0, miss: null })
    return reply.headers[name]
  }
  t.equal(await ask(), 'resident=3; ram=0; disk=0')

  // It starts 20 ms after its admission, and generates after 60.
  engine.script.hold = new Promise(resolve => setTimeout(resolve, 60))
  const submit = engine.submit.bind(engine)
  engine.submit = (request, onEvent) =>
    submit(request, event => {
      if (event.type === 'started') setTimeout(() => onEvent(event), 20)
      else onEvent(event)
    })
  t.equal(await ask(), undefined)
})

t.test('what nothing was computed for has none', async t => {
  const { app } = await build(t)
  for (const reply of [
    await app.inject('/v1/models'),
    await app.inject({ method: 'POST', url: '/v1/chat/completions', payload: {} })
  ])
    t.equal(reply.headers[name], undefined)
})
