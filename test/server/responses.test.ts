import t, { type Test } from 'tap'
import { violations } from '../support/openai-schema.js'
import type { FakeModels } from './fake-engine.js'
import { fakeModels } from './fake-engine.js'
import { build } from './helper.js'

const url = '/v1/responses'
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const tools = [{ type: 'function', name: 'weather', description: 'The weather', parameters, strict: true }]
const call = '<tool_call>\n{"name": "weather", "arguments": {"city":"Paris"}}\n</tool_call>'

function answer(models: FakeModels, text: string): void {
  models.engine.script.tokens = () => text.match(/[\s\S]{1,3}/g) ?? []
}

interface Event {
  type: string
  sequence_number: number
  output_index?: number
  item_id?: string
  delta?: string
  [field: string]: unknown
}

function events(t: Test, body: string): Event[] {
  return body
    .trimEnd()
    .split('\n\n')
    .map(part => {
      const [, event = '', data = ''] = /^event: (.*)\ndata: (.*)$/.exec(part) ?? []
      const parsed = JSON.parse(data) as Event
      t.equal(parsed.type, event)
      return parsed
    })
}

function promptOf(models: FakeModels): string {
  const [segment] = models.engine.last.request.prompt
  return segment?.type === 'text' ? segment.text : ''
}

t.test('text', async t => {
  const { app, models } = await build(t)
  models.engine.script.cached = 4
  const payload = { model: 'fake', input: 'Hello', instructions: 'Be brief.', metadata: { a: 'b' } }
  const reply = await app.inject({ method: 'POST', url, payload })
  t.equal(reply.statusCode, 200)
  t.strictSame(violations('Response', reply.json()), [])
  t.match(reply.json(), {
    id: /^resp_/,
    status: 'completed',
    instructions: 'Be brief.',
    metadata: { a: 'b' },
    output: [
      {
        type: 'message',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: 'The quick brown fox jumps over the lazy dog.' }]
      }
    ],
    usage: { input_tokens_details: { cached_tokens: 4 }, output_tokens: 10 }
  })
  t.equal(
    promptOf(models),
    '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n'
  )
})

t.test('cut off', async t => {
  const { app } = await build(t)
  const payload = { input: 'Hello', max_output_tokens: 2 }
  const reply = await app.inject({ method: 'POST', url, payload })
  t.strictSame(violations('Response', reply.json()), [])
  t.match(reply.json(), {
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
    output: [{ status: 'incomplete' }]
  })
})

t.test('a stream of text: events in order, numbered, each as the specification has it', async t => {
  const { app } = await build(t)
  const payload = { input: 'Hello', stream: true, top_logprobs: 1 }
  const reply = await app.inject({ method: 'POST', url, payload })
  const all = events(t, reply.body)
  for (const event of all) t.strictSame(violations('ResponseStreamEvent', event), [], event.type)
  t.strictSame(
    all.map(event => event.sequence_number),
    all.map((_, index) => index)
  )
  const deltas = all.filter(event => event.type === 'response.output_text.delta')
  t.ok(deltas.length > 2)
  t.strictSame(
    all.filter(event => !event.type.endsWith('.delta')).map(event => event.type),
    [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed'
    ]
  )
  const text = deltas.map(event => event.delta).join('')
  t.match(all.at(-1), { response: { status: 'completed', output: [{ content: [{ text }] }] } })
  t.equal(new Set(all.flatMap(event => event.item_id ?? [])).size, 1)
})

t.test('thinking and calls are items of their own', async t => {
  const { app, models } = await build(
    t,
    {},
    fakeModels({ chatTemplate: '{% for m in messages %}{{ m.content }}{% endfor %}</think>' })
  )
  answer(models, `<think>Hm.</think>I look.\n${call}`)
  const include = ['reasoning.encrypted_content']
  const payload = { input: 'Weather?', tools, tool_choice: 'required', store: false, include }
  const whole = await app.inject({ method: 'POST', url, payload })
  t.strictSame(violations('Response', whole.json()), [])
  t.match(whole.json().output, [
    { type: 'reasoning', id: /^rs_/, content: [{ text: 'Hm.' }], encrypted_content: /./ },
    { type: 'message', content: [{ text: 'I look.' }] },
    { type: 'function_call', id: /^fc_/, call_id: /^call_/, name: 'weather', arguments: '{"city":"Paris"}' }
  ])
  t.match(models.engine.last.request.constraint, { type: 'tools', choice: 'required' })
  const stream = await app.inject({ method: 'POST', url, payload: { ...payload, stream: true } })
  const all = events(t, stream.body)
  for (const event of all) t.strictSame(violations('ResponseStreamEvent', event), [], event.type)
  const types = all.map(event => event.type).filter((type, i, list) => type !== list[i - 1])
  t.strictSame(types, [
    'response.created',
    'response.in_progress',
    'response.output_item.added',
    'response.content_part.added',
    'response.reasoning_text.delta',
    'response.reasoning_text.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.delta',
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.output_item.added',
    'response.function_call_arguments.delta',
    'response.function_call_arguments.done',
    'response.output_item.done',
    'response.completed'
  ])
  t.equal((await app.inject(`${url}/${whole.json().id}`)).statusCode, 404, 'not stored')
})

t.test('a conversation goes on, and renders the same prefix', async t => {
  const { app, models } = await build(t)
  answer(models, call)
  const first = await app.inject({ method: 'POST', url, payload: { input: 'Weather?', tools } })
  const before = promptOf(models) + call
  const [item] = first.json().output
  answer(models, 'Rain.')
  const output = { type: 'function_call_output', call_id: item.call_id, output: 'rain' }
  const second = await app.inject({
    method: 'POST',
    url,
    payload: { input: [output], tools, previous_response_id: first.json().id }
  })
  t.equal(second.statusCode, 200)
  t.ok(promptOf(models).startsWith(before), 'as it was generated')
  t.match(promptOf(models), '<tool_response>\nrain\n</tool_response>')
  const stateless = [{ role: 'user', content: 'Weather?' }, item, output]
  await app.inject({ method: 'POST', url, payload: { input: stateless, tools } })
  t.ok(promptOf(models).startsWith(before), 'without stored state too')
  const third = { input: 'Thanks', previous_response_id: second.json().id, tools }
  await app.inject({ method: 'POST', url, payload: third })
  t.match(promptOf(models), /Rain\.<\|im_end\|>\n<\|im_start\|>user\nThanks/)
  const referred = {
    input: [{ role: 'user', content: 'Weather?' }, { type: 'item_reference', id: item.id }, output]
  }
  t.equal((await app.inject({ method: 'POST', url, payload: referred })).statusCode, 200)
})

t.test('stored responses: get, items, delete', async t => {
  const { app } = await build(t, { apiKeys: ['one', 'two'] })
  const one = { authorization: 'Bearer one' }
  const first = await app.inject({ method: 'POST', url, payload: { input: 'Hello' }, headers: one })
  const { id } = first.json()
  const got = await app.inject({ url: `${url}/${id}`, headers: one })
  t.strictSame(got.json(), first.json())
  const items = await app.inject({ url: `${url}/${id}/input_items?limit=1`, headers: one })
  t.strictSame(violations('ResponseItemList', items.json()), [])
  t.match(items.json(), { data: [{ role: 'user', content: [{ type: 'input_text', text: 'Hello' }] }] })

  const two = { authorization: 'Bearer two' }
  t.equal((await app.inject({ url: `${url}/${id}`, headers: two })).statusCode, 404, "another key's")
  const theft = { input: 'x', previous_response_id: id }
  const stolen = await app.inject({ method: 'POST', url, payload: theft, headers: two })
  t.match(stolen.json(), { error: { code: 'previous_response_not_found', param: 'previous_response_id' } })

  const deleted = await app.inject({ method: 'DELETE', url: `${url}/${id}`, headers: one })
  t.match(deleted.json(), { id, deleted: true })
  const gone = await app.inject({ url: `${url}/${id}`, headers: one })
  t.equal(gone.statusCode, 404)
  t.strictSame(violations('ErrorResponse', gone.json()), [])
})

t.test('JSON', async t => {
  const { app, models } = await build(t)
  const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }
  const payload = { input: 'x', text: { format: { type: 'json_schema', name: 'n', schema, strict: true } } }
  answer(models, '{"n": 1}')
  const good = await app.inject({ method: 'POST', url, payload })
  t.strictSame(violations('Response', good.json()), [])
  t.match(models.engine.last.request.constraint, { type: 'json_schema', schema, strict: true })
  answer(models, '{}')
  t.equal((await app.inject({ method: 'POST', url, payload })).statusCode, 500)
  const stream = await app.inject({ method: 'POST', url, payload: { ...payload, stream: true } })
  const last = events(t, stream.body).at(-1)
  t.match(last, { type: 'response.failed', response: { status: 'failed', error: { code: 'server_error' } } })
  t.strictSame(violations('ResponseStreamEvent', last), [])
})

t.test('refusals come before the stream, and say where', async t => {
  const { app } = await build(t)
  const cases: Array<[object, string]> = [
    [{ input: 5 }, 'input'],
    [{ input: [] }, 'input'],
    [{}, 'input'],
    [
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] },
      'input.0.content.0.type'
    ],
    [{ input: [{ type: 'item_reference', id: 'msg_none' }] }, 'input.0.id'],
    [{ input: [{ type: 'web_search_call', id: 'x', status: 'completed' }] }, 'input.0.type'],
    [{ input: 'x', tools: [{ type: 'web_search' }] }, 'tools.0.type'],
    [{ input: 'x', tools, tool_choice: { type: 'function', name: 'other' } }, 'tool_choice'],
    [{ input: 'x', background: true }, 'background'],
    [{ input: 'x', conversation: 'conv_1' }, 'conversation'],
    [{ input: 'x', previous_response_id: 'resp_none' }, 'previous_response_id'],
    [{ input: 'x', temperature: 3 }, 'temperature'],
    [{ input: 'x', max_output_tokens: 0 }, 'max_output_tokens']
  ]
  for (const [body, param] of cases) {
    const reply = await app.inject({ method: 'POST', url, payload: { ...body, stream: true } })
    t.equal(reply.statusCode, 400, JSON.stringify(body))
    t.strictSame(violations('ErrorResponse', reply.json()), [])
    t.equal(reply.json().error.param, param, JSON.stringify(body))
  }
})

t.test('input_tokens', async t => {
  const { app, models } = await build(t)
  const payload = { input: 'Hello', tools }
  const count = await app.inject({ method: 'POST', url: `${url}/input_tokens`, payload })
  await app.inject({ method: 'POST', url, payload })
  t.match(count.json(), { object: 'response.input_tokens' })
  t.equal(count.json().input_tokens, Math.ceil(promptOf(models).length / 4))
})
