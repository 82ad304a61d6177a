import Anthropic from '@anthropic-ai/sdk'
import t from 'tap'
import { listen } from '../server/helper.js'
import { rejects } from '../support/rejects.js'

const hello = { model: 'fake', max_tokens: 50, messages: [{ role: 'user' as const, content: 'Hello' }] }
const tools = [
  {
    name: 'weather',
    input_schema: { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'] }
  }
]
const call = 'I look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'

const client = (url: string, options: object = {}) =>
  new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0, ...options })

t.test('whole and streamed are the same message', async t => {
  const { url, models } = await listen(t)
  const anthropic = client(url)
  const whole = await anthropic.messages.create(hello)
  t.match(whole._request_id, /^req_/)
  const streamed = await anthropic.messages.stream(hello).finalMessage()
  const { id: _, ...rest } = whole
  t.match(JSON.parse(JSON.stringify(streamed)), JSON.parse(JSON.stringify(rest)))

  models.engine.script.tokens = () => call.match(/[\s\S]{1,4}/g) ?? []
  const message = await anthropic.messages.stream({ ...hello, tools }).finalMessage()
  t.equal(message.stop_reason, 'tool_use')
  t.match(message.content, [
    { type: 'text', text: 'I look.' },
    { type: 'tool_use', name: 'weather', input: { city: 'Paris' } }
  ])
})

t.test('an agent loop: results go back under the id of their call', async t => {
  const { url, models } = await listen(t)
  const anthropic = client(url)
  const history: Anthropic.MessageParam[] = [...hello.messages]
  models.engine.script.tokens = request =>
    JSON.stringify(request.prompt).includes('tool_response')
      ? ['Rain', '.']
      : (call.match(/[\s\S]{1,4}/g) ?? [])
  for (let turn = 0; turn < 3; turn += 1) {
    const message = await anthropic.messages.create({ ...hello, messages: history, tools })
    history.push({ role: 'assistant', content: message.content })
    const uses = message.content.filter(block => block.type === 'tool_use')
    if (uses.length === 0) break
    const results = uses.map(use => ({ type: 'tool_result' as const, tool_use_id: use.id, content: 'Rain' }))
    history.push({ role: 'user', content: results })
  }
  t.match(history.at(-1), { role: 'assistant', content: [{ type: 'text', text: 'Rain.' }] })
})

t.test('count_tokens', async t => {
  const { url } = await listen(t)
  const { max_tokens: _, ...prompt } = hello
  t.ok((await client(url).messages.countTokens(prompt)).input_tokens > 0)
})

t.test('errors have their classes', async t => {
  const { url, models } = await listen(t)
  const anthropic = client(url)
  const wrong = (more: object) => anthropic.messages.create({ ...hello, ...more })
  const refused = await rejects(t, wrong({ temperature: 2 }), Anthropic.BadRequestError)
  t.match(refused, { status: 400, requestID: /^req_/ })
  await rejects(t, wrong({ model: 'other' }), Anthropic.NotFoundError)
  models.engine.script.verdict = () => ({ kind: 'full', retryAfterMs: 100, reason: 'queue' })
  await rejects(t, wrong({}), Anthropic.RateLimitError)
  models.engine.script.verdict = null
  models.engine.script.fail = { code: 'engine_crashed', afterTokens: 2 }
  await rejects(t, anthropic.messages.stream(hello).finalMessage(), Anthropic.APIError)
  const closed = await listen(t, { apiKeys: ['secret'] })
  await rejects(t, client(closed.url).messages.create(hello), Anthropic.AuthenticationError)
  t.ok(await client(closed.url, { apiKey: 'secret' }).messages.create(hello))
})

t.test('the SDK waits as long as a 429 tells it, and tries again', async t => {
  const { url, models } = await listen(t)
  let refusals = 2
  models.engine.script.verdict = () =>
    refusals-- > 0 ? { kind: 'full', retryAfterMs: 60, reason: 'queue' } : undefined
  t.ok(await client(url, { maxRetries: 2 }).messages.create(hello))
  t.equal(models.engine.generations.length, 3)
})

t.test('an abort cancels the generation', async t => {
  const { url, models } = await listen(t)
  models.engine.script.tokenMs = 5
  models.engine.script.tokens = () => Array.from({ length: 10_000 }, () => 'x')
  const stream = await client(url).messages.create({ ...hello, max_tokens: 9000, stream: true })
  for await (const event of stream) if (event.type === 'content_block_delta') break
  await new Promise(resolve => setTimeout(resolve, 200))
  t.equal(models.engine.last.cancelled, true)
})
