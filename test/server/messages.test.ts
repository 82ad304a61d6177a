import t from 'tap'
import type { FakeModels } from './fake-engine.js'
import { fakeModels } from './fake-engine.js'
import { build, listen } from './helper.js'

const url = '/v1/messages'
const hello = { model: 'fake', max_tokens: 50, messages: [{ role: 'user', content: 'Hello' }] }
const input_schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const tools = [{ name: 'weather', description: 'The weather', input_schema }]

function answer(models: FakeModels, text: string): void {
  models.engine.script.tokens = () => text.match(/[\s\S]{1,3}/g) ?? []
}

interface Event {
  event: string
  data: { type: string; [field: string]: unknown }
}

function events(body: string): Event[] {
  return body
    .trimEnd()
    .split('\n\n')
    .map(part => {
      const [, event = '', data = ''] = /^event: (.*)\ndata: (.*)$/.exec(part) ?? []
      return { event, data: JSON.parse(data) }
    })
}

function promptOf(models: FakeModels): string {
  const [segment] = models.engine.last.request.prompt
  return segment?.type === 'text' ? segment.text : ''
}

t.test('a whole message', async t => {
  const { app, models } = await build(t)
  models.engine.script.cached = 5
  const headers = { 'anthropic-version': '1999-01-01', 'anthropic-beta': 'whatever' }
  const reply = await app.inject({ method: 'POST', url: `${url}?beta=true`, payload: hello, headers })
  t.equal(reply.statusCode, 200)
  t.match(reply.headers['request-id'], /^req_/)
  const message = reply.json()
  t.match(message, {
    id: /^msg_/,
    type: 'message',
    role: 'assistant',
    model: 'fake',
    content: [{ type: 'text', text: 'The quick brown fox jumps over the lazy dog.' }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { cache_read_input_tokens: 5, cache_creation_input_tokens: 0, output_tokens: 10 }
  })
  const { promptTokens } = { promptTokens: Math.ceil(promptOf(models).length / 4) }
  t.equal(message.usage.input_tokens, promptTokens - 5)
  t.match(models.engine.last.request, { maxTokens: 50, sampling: { temperature: 1 } })
})

t.test('reasons to stop', async t => {
  const { app } = await build(t)
  const post = async (more: object) =>
    (await app.inject({ method: 'POST', url, payload: { ...hello, ...more } })).json()
  t.match(await post({ max_tokens: 2 }), { stop_reason: 'max_tokens', stop_sequence: null })
  t.match(await post({ stop_sequences: [' fox', 'x'] }), {
    stop_reason: 'stop_sequence',
    stop_sequence: ' fox',
    content: [{ text: 'The quick brown' }]
  })
})

t.test('a stream is named events in strict order', async t => {
  const { app } = await build(t)
  const reply = await app.inject({ method: 'POST', url, payload: { ...hello, stream: true } })
  t.match(reply.headers['content-type'], /^text\/event-stream/)
  const all = events(reply.body)
  for (const { event, data } of all) t.equal(event, data.type)
  const names = all.map(({ event }) => event)
  const deltas = names.filter(name => name === 'content_block_delta').length
  t.ok(deltas > 2)
  t.strictSame(names, [
    'message_start',
    'content_block_start',
    ...Array.from({ length: deltas }, () => 'content_block_delta'),
    'content_block_stop',
    'message_delta',
    'message_stop'
  ])
  t.match(all[0]?.data, { message: { content: [], stop_reason: null, usage: { output_tokens: 0 } } })
  t.match(all.at(-2)?.data, { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 10 } })
})

t.test('pings while it waits, and in every silence, after message_start', async t => {
  const { url: address, models } = await listen(t, { keepAliveMs: 20 })
  Object.assign(models.engine.script, { firstTokenMs: 150, tokenMs: 70, tokens: () => ['a', 'b', 'c'] })
  let release = () => {}
  models.engine.script.hold = new Promise<void>(resolve => {
    release = resolve
  })
  setTimeout(release, 60)
  const reply = await fetch(`${address}${url}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...hello, stream: true })
  })
  const names = events(await reply.text()).map(({ event }) => event)
  t.equal(names[0], 'message_start')
  t.ok(names.indexOf('ping') < names.indexOf('content_block_start'), 'before the first token')
  t.ok(names.lastIndexOf('ping') > names.indexOf('content_block_delta'), 'between tokens')
  t.strictSame(
    names.filter(name => name !== 'ping' && name !== 'content_block_delta'),
    ['message_start', 'content_block_start', 'content_block_stop', 'message_delta', 'message_stop']
  )
})

t.test('tools: use, stream, results, choice', async t => {
  const { app, models } = await build(t)
  const text = 'I look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
  answer(models, text)
  const whole = (await app.inject({ method: 'POST', url, payload: { ...hello, tools } })).json()
  t.match(whole, {
    stop_reason: 'tool_use',
    content: [
      { type: 'text', text: 'I look.' },
      { type: 'tool_use', id: /^\w+$/, name: 'weather', input: { city: 'Paris' } }
    ]
  })
  const reply = await app.inject({ method: 'POST', url, payload: { ...hello, tools, stream: true } })
  const all = events(reply.body).map(({ data }) => data)
  const starts = all.filter(data => data.type === 'content_block_start')
  t.match(starts, [
    { index: 0, content_block: { type: 'text', text: '' } },
    { index: 1, content_block: { type: 'tool_use', name: 'weather', input: {} } }
  ])
  const json = all.map(data => (data.delta as { partial_json?: string } | undefined)?.partial_json ?? '')
  t.equal(json.join(''), '{"city": "Paris"}')
  t.match(all.at(-2), { delta: { stop_reason: 'tool_use' } })

  const choose = async (tool_choice: object) => {
    const sent = await app.inject({ method: 'POST', url, payload: { ...hello, tools, tool_choice } })
    t.equal(sent.statusCode, 200)
    return models.engine.last.request.constraint
  }
  t.match(await choose({ type: 'any' }), { choice: 'required', parallel: true })
  t.match(await choose({ type: 'tool', name: 'weather', disable_parallel_tool_use: true }), {
    choice: 'weather',
    parallel: false
  })
  t.equal(await choose({ type: 'none' }), null)

  const messages = [
    ...hello.messages,
    { role: 'assistant', content: whole.content },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: whole.content[1].id, content: [{ type: 'text', text: 'Rain' }] },
        { type: 'text', text: 'And now?', cache_control: { type: 'ephemeral' } }
      ]
    }
  ]
  const before = promptOf(models)
  await app.inject({ method: 'POST', url, payload: { ...hello, tools, messages } })
  const prompt = promptOf(models)
  t.match(prompt, text, 'the turn stands there as it was written')
  t.match(prompt, '<tool_response>\nRain\n</tool_response>\n\nAnd now?')
  t.notOk(prompt.startsWith(before))
})

t.test('thinking comes in blocks of its own', async t => {
  const { app, models } = await build(
    t,
    {},
    fakeModels({
      chatTemplate:
        '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if enable_thinking %}<think>{% endif %}</think>'
    })
  )
  models.engine.script.tokens = () => ['<think>', 'Hm', '.', '</think>', 'Rain']
  const thinking = { type: 'enabled', budget_tokens: 1024 }
  const whole = await app.inject({ method: 'POST', url, payload: { ...hello, thinking } })
  t.match(whole.json().content, [
    { type: 'thinking', thinking: 'Hm.', signature: /./ },
    { type: 'text', text: 'Rain' }
  ])
  t.match(promptOf(models), '<think>')
  const stream = await app.inject({ method: 'POST', url, payload: { ...hello, stream: true } })
  t.notMatch(promptOf(models), '<think>', 'not asked for: off')
  const all = events(stream.body).map(({ data }) => data)
  t.match(
    all
      .filter(data => data.type !== 'content_block_delta' || 'signature' in (data.delta as object))
      .slice(1, 6),
    [
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', signature: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta' } },
      { type: 'content_block_stop', index: 0 },
      { type: 'content_block_start', index: 1, content_block: { type: 'text' } },
      { type: 'content_block_stop', index: 1 }
    ]
  )
})

t.test('the system prompt, without the billing line that changes all the time', async t => {
  const { app, models } = await build(t)
  const promptFor = async (system: unknown) => {
    const reply = await app.inject({ method: 'POST', url, payload: { ...hello, system } })
    t.equal(reply.statusCode, 200)
    return promptOf(models)
  }
  const parts = (hash: string) => [
    { type: 'text', text: `x-anthropic-billing-header: cc_version=2.0; cch=${hash};` },
    { type: 'text', text: 'You are an agent.', cache_control: { type: 'ephemeral' } },
    { type: 'text', text: 'Be brief.' }
  ]
  const prompt = await promptFor(parts('a1'))
  t.equal(await promptFor(parts('b2')), prompt)
  t.equal(await promptFor('x-anthropic-billing-header: cch=c3;\n\nYou are an agent.\nBe brief.'), prompt)
  t.match(prompt, '<|im_start|>system\nYou are an agent.\nBe brief.<|im_end|>')
})

t.test('a last message of the assistant is gone on with', async t => {
  const { app, models } = await build(t)
  const messages = [...hello.messages, { role: 'assistant', content: 'The answer is ' }]
  await app.inject({ method: 'POST', url, payload: { ...hello, messages } })
  t.match(promptOf(models), /<\|im_start\|>assistant\nThe answer is$/)
})

t.test('count_tokens', async t => {
  const { app, models } = await build(t)
  const { max_tokens: _, ...payload } = hello
  const count = await app.inject({
    method: 'POST',
    url: `${url}/count_tokens`,
    payload: { ...payload, tools }
  })
  t.equal(count.statusCode, 200)
  t.equal(models.engine.generations.length, 0)
  const message = await app.inject({ method: 'POST', url, payload: { ...hello, tools } })
  t.equal(count.json().input_tokens, message.json().usage.input_tokens)
})

t.test("errors have Anthropic's shape, wherever they come from", async t => {
  const options = { apiKeys: ['secret'], bodyLimit: 2000, rateLimit: 12 }
  const { app, models } = await build(t, options)
  const key = { 'x-api-key': 'secret' }
  const json = { ...key, 'content-type': 'application/json' }
  const post = (payload: unknown, headers: Record<string, string> = json, path = url) =>
    app.inject({ method: 'POST', url: path, payload: payload as object, headers })
  const cases: Array<[string, Awaited<ReturnType<typeof post>>, number, string]> = [
    ['no key', await post(hello, {}), 401, 'authentication_error'],
    ['no max_tokens', await post({ ...hello, max_tokens: undefined }), 400, 'invalid_request_error'],
    ['not JSON', await post('{"a', json), 400, 'invalid_request_error'],
    ['too large', await post({ ...hello, x: 'x'.repeat(3000) }), 413, 'request_too_large'],
    ['media type', await post('x', { ...key, 'content-type': 'text/plain' }), 415, 'invalid_request_error'],
    ['no such model', await post({ ...hello, model: 'other' }), 404, 'not_found_error'],
    ['no such path', await post(hello, json, `${url}/batches`), 404, 'not_found_error'],
    ['method', await app.inject({ method: 'GET', url, headers: key }), 405, 'invalid_request_error']
  ]
  models.engine.script.verdict = () => ({ kind: 'full', retryAfterMs: 1500, reason: 'queue' })
  cases.push(['full', await post({ ...hello, stream: true }), 429, 'rate_limit_error'])
  models.engine.script.verdict = () => ({ kind: 'draining', retryAfterMs: 1000 })
  cases.push(['draining', await post(hello), 503, 'overloaded_error'])
  models.engine.script.verdict = () => ({ kind: 'tooLong', promptTokens: 9, limit: 5 })
  cases.push(['too long', await post({ ...hello, stream: true }), 400, 'invalid_request_error'])
  for (let i = 0; i < 12; i += 1) await post(hello)
  cases.push(['rate limit', await post(hello), 429, 'rate_limit_error'])
  for (const [name, reply, status, type] of cases) {
    t.equal(reply.statusCode, status, name)
    const body = reply.json()
    t.match(body, { type: 'error', error: { type, message: String } }, name)
    t.equal(body.request_id, reply.headers['request-id'], name)
    if (status === 429 || status === 503) t.ok(Number(reply.headers['retry-after']) > 0, name)
  }
})

t.test('refusals say where', async t => {
  const { app } = await build(t)
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA' } }
  const cases: Array<[object, RegExp]> = [
    [{ messages: [{ role: 'user', content: [image] }] }, /messages\.0\.content\.0\.type/],
    [{ messages: [{ role: 'system', content: 'x' }] }, /messages\.0\.role/],
    [{ messages: [] }, /messages/],
    [{ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, /tools\.0\.type/],
    [{ tools, tool_choice: { type: 'tool', name: 'other' } }, /tool_choice/],
    [{ tool_choice: { type: 'any' } }, /tool_choice/],
    [{ temperature: 1.5 }, /temperature/],
    [{ max_tokens: 0 }, /max_tokens/],
    [{ stop_sequences: 'x' }, /stop_sequences/]
  ]
  for (const [more, message] of cases) {
    const reply = await app.inject({ method: 'POST', url, payload: { ...hello, ...more, stream: true } })
    t.equal(reply.statusCode, 400, JSON.stringify(more))
    t.match(reply.json().error.message, message)
  }
})

t.test('a failure in mid-stream is an error event', async t => {
  const { app, models } = await build(t)
  models.engine.script.fail = { code: 'engine_crashed', afterTokens: 2 }
  const reply = await app.inject({ method: 'POST', url, payload: { ...hello, stream: true } })
  t.match(events(reply.body).at(-1), { event: 'error', data: { error: { type: 'overloaded_error' } } })
})

t.test("Anthropic's own model names mean the default model", async t => {
  const { app } = await build(t)
  const reply = await app.inject({ method: 'POST', url, payload: { ...hello, model: 'claude-haiku-4-5' } })
  t.match(reply.json(), { type: 'message', model: 'fake' })
})

t.test('behind a beginning, thinking is not looked for and blanks are kept', async t => {
  const template = '{% for m in messages %}{{ m.content }}</think>{% endfor %}'
  const { app, models } = await build(t, {}, fakeModels({ chatTemplate: template }))
  answer(models, ' name is Ann.')
  const messages = [...hello.messages, { role: 'assistant', content: 'My' }]
  const reply = await app.inject({ method: 'POST', url, payload: { ...hello, messages } })
  t.match(reply.json().content, [{ type: 'text', text: ' name is Ann.' }])
  const format = { type: 'json_schema', schema: input_schema }
  const refused = await app.inject({
    method: 'POST',
    url,
    payload: { ...hello, messages, output_config: { format } }
  })
  t.equal(refused.statusCode, 400)
  t.match(refused.json().error.message, /messages\.1/)
})

t.test('a format under its first name, and strict tools', async t => {
  const { app, models } = await build(t)
  answer(models, '{"city": "Rome"}')
  const output_format = { type: 'json_schema', schema: input_schema }
  const reply = await app.inject({ method: 'POST', url, payload: { ...hello, output_format } })
  t.equal(reply.statusCode, 200)
  t.match(models.engine.last.request.constraint, { type: 'json_schema', schema: input_schema })
  await app.inject({ method: 'POST', url, payload: { ...hello, tools: [{ ...tools[0], strict: true }] } })
  t.match(models.engine.last.request.constraint, {
    type: 'tools',
    tools: [{ name: 'weather', strict: true }]
  })
})
