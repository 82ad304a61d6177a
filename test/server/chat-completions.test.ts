import t from 'tap'
import { build, hello, parseEvents } from './helper.js'

t.test('answers whole', async t => {
  const { app } = await build(t)
  const reply = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload: hello })
  t.equal(reply.statusCode, 200)
  t.match(reply.json(), {
    choices: [{ message: { content: 'The quick brown fox jumps over the lazy dog.' } }]
  })
})

t.test('streams', async t => {
  const { app } = await build(t)
  const payload = { ...hello, stream: true }
  const reply = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload })
  t.equal(reply.statusCode, 200)
  console.error(reply.body)
})
