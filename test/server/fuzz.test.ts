import fc from 'fast-check'
import t from 'tap'
import { fullBody, type Json, junk, paths, replaced } from '../support/chat-bodies.js'
import { violations } from '../support/openai-schema.js'
import { build } from './helper.js'

const runs = process.env.OCTAVO_TEST_LONG ? 5000 : 400

/** The full request without what this server refuses by design. */
const servable: Json = {
  ...fullBody,
  model: 'default',
  messages: [
    { role: 'system', content: 's' },
    { role: 'user', content: [{ type: 'text', text: 't' }] },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'i', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }]
    },
    { role: 'tool', content: 'r', tool_call_id: 'i' }
  ],
  tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
  top_k: 5,
  min_p: 0.1,
  repeat_penalty: 1.1,
  cache_salt: 's',
  chat_template_kwargs: { enable_thinking: true }
}

t.test('whatever is sent: an answer or a refusal in the right shape', async t => {
  const { app } = await build(t)
  const post = (payload: string) =>
    app.inject({
      method: 'POST',
      url: '/v1/chat/completions',
      payload,
      headers: { 'content-type': 'application/json' }
    })
  t.equal((await post(JSON.stringify(servable))).statusCode, 200, 'the request that is broken below')
  const places = paths(servable)
  const breaks = fc.array(fc.tuple(fc.constantFrom(...places), junk), { minLength: 1, maxLength: 2 })
  const statuses = new Map<number, number>()
  await fc.assert(
    fc.asyncProperty(breaks, async changes => {
      const body = changes.reduce<Json>((value, [place, by]) => spoil(value, place, by), servable)
      const reply = await post(JSON.stringify(body))
      statuses.set(reply.statusCode, (statuses.get(reply.statusCode) ?? 0) + 1)
      if (reply.statusCode === 200) return
      if (![400, 404].includes(reply.statusCode)) throw new Error(`${reply.statusCode} ${reply.body}`)
      const wrong = violations('ErrorResponse', reply.json())
      if (wrong.length > 0) throw new Error(wrong.join())
    }),
    { numRuns: runs }
  )
  t.ok((statuses.get(200) ?? 0) > 0 && (statuses.get(400) ?? 0) > 0, JSON.stringify([...statuses]))
})

/** An earlier change may have removed the place. */
function spoil(value: Json, place: Array<string | number>, by: Json | undefined): Json {
  if (place.length === 0) return by ?? null
  try {
    return replaced(value, place, by)
  } catch {
    return value
  }
}
