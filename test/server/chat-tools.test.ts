import t from 'tap'
import { violations } from '../support/openai-schema.js'
import type { FakeModels } from './fake-engine.js'
import { fakeModels } from './fake-engine.js'
import { build, parseEvents } from './helper.js'

const url = '/v1/chat/completions'
const messages = [{ role: 'user', content: 'How is the weather in Paris?' }]
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const tools = [
  { type: 'function', function: { name: 'weather', description: 'The weather', parameters } },
  { type: 'function', function: { name: 'clock', parameters: { type: 'object', properties: {} } } }
]

/** Tokens of a few characters each, so that markers are split. */
function answer(models: FakeModels, text: string): void {
  models.engine.script.tokens = () => text.match(/[\s\S]{1,3}/g) ?? []
}

const twoCalls =
  'Let me look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>\n' +
  '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'

interface Chunk {
  choices: Array<{
    delta: {
      role?: string
      content?: string
      reasoning_content?: string
      tool_calls?: Array<{
        index: number
        id?: string
        type?: string
        function: { name?: string; arguments: string }
      }>
      function_call?: { name?: string; arguments: string }
    }
    finish_reason: string | null
  }>
}

t.test('calls in a whole answer', async t => {
  const { app, models } = await build(t)
  answer(models, twoCalls)
  const reply = await app.inject({ method: 'POST', url, payload: { messages, tools } })
  t.equal(reply.statusCode, 200)
  t.strictSame(violations('CreateChatCompletionResponse', reply.json()), [])
  const [choice] = reply.json().choices
  t.equal(choice.finish_reason, 'tool_calls')
  t.equal(choice.message.content, 'Let me look.')
  t.match(choice.message.tool_calls, [
    { id: /^call_\w{24}$/, type: 'function', function: { name: 'weather', arguments: '{"city": "Paris"}' } },
    { id: /^call_\w{24}$/, type: 'function', function: { name: 'clock', arguments: '{}' } }
  ])
  t.match(models.engine.last.request, {
    emitSpecial: true,
    constraint: {
      type: 'tools',
      format: 'generic',
      choice: 'auto',
      parallel: true,
      tools: [{ name: 'weather', parameters }, { name: 'clock' }]
    }
  })
})

t.test('calls in a stream are indexed, with one id and one name each', async t => {
  const { app, models } = await build(t)
  answer(models, twoCalls)
  const reply = await app.inject({ method: 'POST', url, payload: { messages, tools, stream: true } })
  const { data } = parseEvents(reply.body)
  t.equal(data.pop(), '[DONE]')
  const chunks = data as Chunk[]
  for (const chunk of chunks) t.strictSame(violations('CreateChatCompletionStreamResponse', chunk), [])
  t.equal(chunks[0]?.choices[0]?.delta.role, 'assistant')
  const calls: Array<{ id: string; name: string; arguments: string }> = []
  let content = ''
  for (const { delta } of chunks.flatMap(chunk => chunk.choices)) {
    content += delta.content ?? ''
    for (const call of delta.tool_calls ?? []) {
      if (call.id !== undefined) {
        t.equal(call.index, calls.length)
        t.equal(call.type, 'function')
        calls.push({ id: call.id, name: call.function.name ?? '', arguments: '' })
      } else t.notOk(call.function.name, 'the name comes once')
      const known = calls[call.index]
      if (known) known.arguments += call.function.arguments
    }
  }
  t.equal(content, 'Let me look.')
  t.match(calls, [
    { name: 'weather', arguments: '{"city": "Paris"}' },
    { name: 'clock', arguments: '{}' }
  ])
  t.not(calls[0]?.id, calls[1]?.id)
  t.strictSame(
    chunks.map(chunk => chunk.choices[0]?.finish_reason).filter(reason => reason !== null),
    ['tool_calls']
  )
})

t.test('only a call: content is null; cut off within it: length', async t => {
  const { app, models } = await build(t)
  answer(models, '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>')
  const whole = await app.inject({ method: 'POST', url, payload: { messages, tools } })
  t.equal(whole.json().choices[0].message.content, null)
  const cut = await app.inject({ method: 'POST', url, payload: { messages, tools, max_tokens: 18 } })
  t.equal(cut.json().choices[0].finish_reason, 'length')
  t.match(cut.json().choices[0].message.tool_calls[0].function, { name: 'weather', arguments: /^\{"c/ })
})

t.test('tool_choice in all its forms', async t => {
  const { app, models } = await build(t)
  answer(models, 'ok')
  const ask = async (more: object) => {
    const reply = await app.inject({ method: 'POST', url, payload: { messages, tools, ...more } })
    t.equal(reply.statusCode, 200, JSON.stringify(more))
    const { constraint, prompt } = models.engine.last.request
    return { constraint, text: prompt[0]?.type === 'text' ? prompt[0].text : '' }
  }
  const auto = await ask({})
  t.match(auto.text, /"name":"weather"/)
  t.match(await ask({ tool_choice: 'auto' }), { constraint: { choice: 'auto' }, text: auto.text })
  t.match(await ask({ tool_choice: 'required' }), { constraint: { choice: 'required' }, text: auto.text })
  const named = { type: 'function', function: { name: 'clock' } }
  t.match(await ask({ tool_choice: named }), { constraint: { choice: 'clock' }, text: auto.text })
  const none = await ask({ tool_choice: 'none' })
  t.equal(none.constraint, null)
  t.notMatch(none.text, /weather"/)
  const allowed = { mode: 'required', tools: [{ type: 'function', function: { name: 'clock' } }] }
  const some = await ask({ tool_choice: { type: 'allowed_tools', allowed_tools: allowed } })
  t.equal(some.text, auto.text, 'the prompt is the same, so is its prefix')
  t.match(some.constraint, { choice: 'required', tools: [{ name: 'clock' }] })
  t.match(await ask({ parallel_tool_calls: false }), { constraint: { parallel: false } })
})

t.test('functions, the deprecated way', async t => {
  const { app, models } = await build(t)
  answer(models, twoCalls)
  const payload = { messages, functions: [{ name: 'weather', parameters }] }
  const whole = await app.inject({ method: 'POST', url, payload })
  t.match(whole.json().choices[0], {
    finish_reason: 'function_call',
    message: { function_call: { name: 'weather', arguments: '{"city": "Paris"}' } }
  })
  t.notOk(whole.json().choices[0].message.tool_calls)
  const stream = await app.inject({ method: 'POST', url, payload: { ...payload, stream: true } })
  const chunks = parseEvents(stream.body).data.slice(0, -1) as Chunk[]
  const deltas = chunks.flatMap(chunk => chunk.choices[0]?.delta.function_call ?? [])
  t.equal(deltas[0]?.name, 'weather')
  t.equal(deltas.map(delta => delta.arguments).join(''), '{"city": "Paris"}')
})

const thinker = { chatTemplate: '{% for m in messages %}{{ m.content }}</think>{% endfor %}' }

t.test('thinking is told apart, whole and streamed, and counted', async t => {
  const { app, models } = await build(t, {}, fakeModels(thinker))
  models.engine.script.tokens = () => ['<think>', '\n', 'Hm', '.', '\n</think>', '\n\n', 'Rain', '.']
  const whole = await app.inject({ method: 'POST', url, payload: { messages } })
  t.strictSame(violations('CreateChatCompletionResponse', whole.json()), [])
  t.match(whole.json(), {
    choices: [{ message: { content: 'Rain.', reasoning_content: 'Hm.' }, finish_reason: 'stop' }],
    usage: { completion_tokens: 8, completion_tokens_details: { reasoning_tokens: 4 } }
  })
  const payload = { messages, stream: true, stream_options: { include_usage: true } }
  const stream = await app.inject({ method: 'POST', url, payload })
  const { data } = parseEvents(stream.body)
  const deltas = (data.slice(0, -2) as Chunk[]).map(chunk => chunk.choices[0]?.delta)
  t.equal(deltas.map(delta => delta?.reasoning_content ?? '').join(''), 'Hm.')
  t.equal(deltas.map(delta => delta?.content ?? '').join(''), 'Rain.')
  t.match(data.at(-2), { choices: [], usage: { completion_tokens_details: { reasoning_tokens: 4 } } })
})

t.test('logprobs are those of the content', async t => {
  const { app, models } = await build(t, {}, fakeModels(thinker))
  models.engine.script.tokens = () => ['<think>', 'Hm', '</think>', 'Rain', ' falls', '.']
  const payload = { messages, logprobs: true, top_logprobs: 1 }
  const reply = await app.inject({ method: 'POST', url, payload })
  const { content } = reply.json().choices[0].logprobs
  t.strictSame(
    content.map((entry: { token: string }) => entry.token),
    ['Rain', ' falls', '.']
  )
})

t.test('what had to be JSON is looked at when it is done', async t => {
  const { app, models } = await build(t)
  const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }
  const response_format = { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } }
  answer(models, '{"n": 1}')
  const good = await app.inject({ method: 'POST', url, payload: { messages, response_format } })
  t.equal(good.statusCode, 200)
  t.match(models.engine.last.request.constraint, { type: 'json_schema', strict: true })

  answer(models, '{"n": "one"}')
  const bad = await app.inject({ method: 'POST', url, payload: { messages, response_format } })
  t.equal(bad.statusCode, 500)
  t.match(bad.json(), { error: { code: 'constraint_failed' } })
  const cut = await app.inject({ method: 'POST', url, payload: { messages, response_format, max_tokens: 2 } })
  t.equal(cut.statusCode, 200, 'an answer that was cut off is not judged')
  const stream = await app.inject({
    method: 'POST',
    url,
    payload: { messages, response_format, stream: true }
  })
  const { data } = parseEvents(stream.body)
  t.match(data.at(-1), { error: { code: 'constraint_failed' } })
  const object = { messages, response_format: { type: 'json_object' } }
  answer(models, '[1]')
  t.equal((await app.inject({ method: 'POST', url, payload: object })).statusCode, 500)
})

t.test('a constraint that the engine refuses is a 400, before the stream begins', async t => {
  const { app, models } = await build(t)
  models.engine.script.verdict = () => ({
    kind: 'invalid',
    param: 'tools/1/parameters/properties/x',
    message: 'no.'
  })
  const reply = await app.inject({ method: 'POST', url, payload: { messages, tools, stream: true } })
  t.equal(reply.statusCode, 400)
  t.match(reply.json(), {
    error: { code: 'invalid_value', param: 'tools.1.function.parameters.properties.x' }
  })
})

t.test('a turn that the template rewrites is told in a header', async t => {
  const chatTemplate =
    '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: {# </think> #}'
  const { app, models } = await build(t, {}, fakeModels({ chatTemplate }))
  const post = (messages: object[]) => app.inject({ method: 'POST', url, payload: { messages } })
  models.engine.script.tokens = () => ['<think>', 'Hm', '</think>', 'Rain']
  t.notOk((await post(messages)).headers['x-octavo-rewritten-turns'])
  const again = await post([...messages, { role: 'assistant', content: 'Rain' }, ...messages])
  t.equal(again.headers['x-octavo-rewritten-turns'], '1', 'the thinking is gone')

  models.engine.script.tokens = () => ['Rain', '.\n']
  const plain = [{ role: 'user', content: 'Else?' }]
  await post(plain)
  const kept = await post([...plain, { role: 'assistant', content: 'Rain.' }, ...plain])
  t.notOk(kept.headers['x-octavo-rewritten-turns'])
})

t.test('a call that was cut off is given as it was written', async t => {
  const { app, models } = await build(t)
  const text = '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>'
  /** Tokens until `part` is out. */
  const until = (part: string) => Math.ceil((text.indexOf(part) + part.length) / 3)
  answer(models, text)
  const chat = async (max_tokens: number) => {
    const reply = await app.inject({ method: 'POST', url, payload: { messages, tools, max_tokens } })
    t.equal(reply.json().choices[0].finish_reason, 'length')
    return reply.json().choices[0].message.tool_calls[0].function
  }
  t.strictSame(await chat(until('weather",')), { name: 'weather', arguments: '' }, 'no arguments yet')
  t.match(await chat(until('"Pa')), { arguments: /^\{"city": "Pa[ris]*$/ })

  const anthropic = await app.inject({
    method: 'POST',
    url: '/v1/messages',
    payload: {
      messages,
      tools: [{ name: 'weather', input_schema: parameters }],
      max_tokens: until('"Pa')
    }
  })
  t.match(anthropic.json(), {
    stop_reason: 'max_tokens',
    content: [{ type: 'tool_use', name: 'weather', input: { city: /^Pa/ } }]
  })
  const responses = await app.inject({
    method: 'POST',
    url: '/v1/responses',
    payload: {
      input: 'How is the weather in Paris?',
      tools: [{ type: 'function', name: 'weather', parameters, strict: false }],
      max_output_tokens: until('"Pa')
    }
  })
  t.match(responses.json(), {
    status: 'incomplete',
    output: [{ type: 'function_call', status: 'incomplete', arguments: /^\{"city": "Pa[ris]*$/ }]
  })
  const stopped = await app.inject({ method: 'POST', url, payload: { messages, tools, stop: ['Paris'] } })
  t.match(stopped.json().choices[0], {
    finish_reason: 'stop',
    message: { tool_calls: [{ function: { arguments: '{"city": "' } }] }
  })
})

t.test('finished calls are looked at once more: strict tools answer for them, others pass', async t => {
  const { app, models } = await build(t)
  answer(models, '<tool_call>{"name": "weather", "arguments": {"city": 5}}</tool_call>')
  const ask = async (strict: boolean) => {
    const tool = { type: 'function', function: { name: 'weather', parameters, strict } }
    const reply = await app.inject({ method: 'POST', url, payload: { messages, tools: [tool] } })
    const { constraint } = models.engine.last.request
    t.equal(constraint?.type === 'tools' && constraint.tools[0]?.strict, strict || undefined)
    return reply
  }
  t.match((await ask(false)).json().choices[0], {
    finish_reason: 'tool_calls',
    message: { tool_calls: [{ function: { arguments: '{"city": 5}' } }] }
  })
  const refused = await ask(true)
  t.equal(refused.statusCode, 500)
  t.match(refused.json(), { error: { code: 'constraint_failed', message: /weather/ } })
})

t.test('tools beside a demanded format: what is no call has that format', async t => {
  const { app, models } = await build(t)
  const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }
  const response_format = { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } }
  answer(models, '{"n": 1}')
  const reply = await app.inject({ method: 'POST', url, payload: { messages, tools, response_format } })
  t.match(reply.json().choices[0], { finish_reason: 'stop', message: { content: '{"n": 1}' } })
  t.match(models.engine.last.request.constraint, {
    type: 'tools',
    choice: 'auto',
    otherwise: { type: 'json_schema', schema, strict: true }
  })
  answer(models, 'No.')
  const bad = await app.inject({ method: 'POST', url, payload: { messages, tools, response_format } })
  t.match(bad.json(), { error: { code: 'constraint_failed' } })
})

t.test('what is wrong is named as the client has it', async t => {
  const { app, models } = await build(t)
  const ask = async (payload: object) => {
    const reply = await app.inject({ method: 'POST', url, payload: { messages, ...payload } })
    t.equal(reply.statusCode, 400)
    return reply.json().error
  }
  t.match(await ask({ response_format: { type: 'json_schema' } }), {
    param: 'response_format.json_schema',
    code: 'missing_required_parameter'
  })
  t.match(await ask({ response_format: { type: 'yaml' } }), {
    param: 'response_format.type',
    message: /'yaml'/
  })
  let deep: object = { type: 'object' }
  for (let i = 0; i < 60; i++) deep = { type: 'object', properties: { a: deep } }
  const deepTool = { type: 'function', function: { name: 'x', parameters: deep } }
  t.match(await ask({ tools: [...tools, deepTool] }), { param: 'tools.2', message: /nested deeper than 100/ })
  models.engine.script.verdict = () => ({ kind: 'invalid', param: 'tools/0/parameters/type', message: 'no' })
  t.match(await ask({ tools }), { param: 'tools.0.function.parameters.type' })
  t.match(await ask({ functions: [{ name: 'weather', parameters }] }), {
    param: 'functions.0.parameters.type'
  })
})

t.test('functions, the deprecated way, are called one at a time', async t => {
  const { app, models } = await build(t)
  await app.inject({
    method: 'POST',
    url,
    payload: { messages, functions: [{ name: 'weather', parameters }] }
  })
  t.match(models.engine.last.request.constraint, { type: 'tools', parallel: false })
})
