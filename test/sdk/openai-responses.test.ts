import OpenAI from 'openai'
import t from 'tap'
import { listen } from '../server/helper.js'
import { rejects } from '../support/rejects.js'

const hello = { model: 'fake', input: 'Hello' }
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const tools = [{ type: 'function' as const, name: 'weather', parameters, strict: true }]
const call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })

t.test('whole, streamed, stored', async t => {
  const { url } = await listen(t)
  const openai = client(url)
  const whole = await openai.responses.create(hello)
  t.equal(whole.output_text, 'The quick brown fox jumps over the lazy dog.')
  const streamed = await openai.responses.stream(hello).finalResponse()
  t.equal(streamed.output_text, whole.output_text)
  t.equal((await openai.responses.retrieve(whole.id)).output_text, whole.output_text)
  const items = await openai.responses.inputItems.list(whole.id)
  t.match(items.data, [{ type: 'message', role: 'user' }])
  await openai.responses.delete(whole.id)
  await rejects(t, openai.responses.retrieve(whole.id), OpenAI.NotFoundError)
})

t.test('a conversation with a tool', async t => {
  const { url, models } = await listen(t)
  const openai = client(url)
  models.engine.script.tokens = () => call.match(/[\s\S]{1,4}/g) ?? []
  const events: string[] = []
  const stream = await openai.responses.create({ ...hello, tools, stream: true })
  let response: OpenAI.Responses.Response | undefined
  for await (const event of stream) {
    events.push(event.type)
    if (event.type === 'response.completed') response = event.response
  }
  t.ok(events.includes('response.function_call_arguments.delta'))
  const item = response?.output[0]
  if (item?.type !== 'function_call') throw new Error('no call')
  t.strictSame(JSON.parse(item.arguments), { city: 'Paris' })
  models.engine.script.tokens = () => ['Rain', '.']
  const next = await openai.responses.create({
    model: 'fake',
    previous_response_id: response?.id,
    input: [{ type: 'function_call_output', call_id: item.call_id, output: 'rain' }],
    tools
  })
  t.equal(next.output_text, 'Rain.')
})

t.test('errors', async t => {
  const { url, models } = await listen(t)
  const openai = client(url)
  await rejects(t, openai.responses.create({ ...hello, temperature: 3 }), OpenAI.BadRequestError)
  await rejects(t, openai.responses.create({ ...hello, model: 'other' }), OpenAI.NotFoundError)
  models.engine.script.fail = { code: 'engine_crashed', afterTokens: 2 }
  const stream = await openai.responses.create({ ...hello, stream: true })
  const types: string[] = []
  for await (const event of stream) types.push(event.type)
  t.equal(types.at(-1), 'response.failed')
})
