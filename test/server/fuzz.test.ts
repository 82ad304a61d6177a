import fc from 'fast-check'
import t from 'tap'
import { fullBody, type Json, junk, paths, replaced } from '../support/chat-bodies.js'
import { violations } from '../support/openai-schema.js'
import { build } from './helper.js'

const runs = process.env.OCTAVO_TEST_LONG ? 5000 : 400

/** The full request without what this server refuses by design. */
const chat: Json = {
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

const messages: Json = {
  model: 'default',
  max_tokens: 5,
  system: [{ type: 'text', text: 's', cache_control: { type: 'ephemeral' } }],
  messages: [
    { role: 'user', content: [{ type: 'text', text: 't' }] },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 't', signature: 's' },
        { type: 'text', text: 't' },
        { type: 'tool_use', id: 'i', name: 'f', input: { a: 1 } }
      ]
    },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: 'i', content: [{ type: 'text', text: 'r' }], is_error: false }
      ]
    }
  ],
  tools: [{ type: 'custom', name: 'f', description: 'd', input_schema: { type: 'object' } }],
  tool_choice: { type: 'auto', disable_parallel_tool_use: true },
  thinking: { type: 'enabled', budget_tokens: 1024 },
  output_config: { format: { type: 'json_schema', schema: { type: 'object' } }, effort: 'low' },
  stop_sequences: ['a'],
  temperature: 1,
  top_p: 0.5,
  top_k: 5,
  metadata: { user_id: 'u' },
  stream: true
}

const responses: Json = {
  model: 'default',
  instructions: 'i',
  input: [
    { role: 'user', content: [{ type: 'input_text', text: 't' }] },
    {
      type: 'reasoning',
      id: 'rs_1',
      summary: [{ type: 'summary_text', text: 't' }],
      encrypted_content: 'AA=='
    },
    { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 't', annotations: [] }] },
    { type: 'function_call', id: 'fc_1', call_id: 'i', name: 'f', arguments: '{"a":1}' },
    { type: 'function_call_output', call_id: 'i', output: [{ type: 'input_text', text: 'r' }] }
  ],
  tools: [{ type: 'function', name: 'f', description: 'd', parameters: { type: 'object' }, strict: true }],
  tool_choice: { type: 'function', name: 'f' },
  parallel_tool_calls: false,
  text: { format: { type: 'json_schema', name: 'n', schema: { type: 'object' }, strict: true } },
  reasoning: { effort: 'low', summary: 'auto' },
  include: ['reasoning.encrypted_content', 'message.output_text.logprobs'],
  truncation: 'auto',
  max_output_tokens: 5,
  store: true,
  stream: true,
  stream_options: { include_obfuscation: false },
  temperature: 1,
  top_p: 0.5,
  top_logprobs: 2,
  metadata: { a: 'b' },
  user: 'u'
}

const routes = [
  { url: '/v1/chat/completions', servable: chat, wrong: openaiError },
  { url: '/v1/messages', servable: messages, wrong: anthropicError },
  { url: '/v1/responses', servable: responses, wrong: openaiError }
]

for (const { url, servable, wrong } of routes) {
  t.test(`${url}, whatever is sent: an answer or a refusal in the right shape`, async t => {
    const { app, models } = await build(t)
    // Nothing constrains the fake: this is JSON that fits nearly every schema.
    models.engine.script.tokens = () => ['{', '}']
    const post = (payload: string) =>
      app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json' } })
    t.equal((await post(JSON.stringify(servable))).statusCode, 200, 'the request that is broken below')
    const places = paths(servable)
    const breaks = fc.array(fc.tuple(fc.constantFrom(...places), junk), { minLength: 1, maxLength: 2 })
    const statuses = new Map<number, number>()
    await fc.assert(
      fc.asyncProperty(breaks, async changes => {
        const body = changes.reduce<Json>((value, [place, by]) => spoil(value, place, by), servable)
        const reply = await post(JSON.stringify(body))
        statuses.set(reply.statusCode, (statuses.get(reply.statusCode) ?? 0) + 1)
        if (reply.statusCode === 200 || reply.json().error?.code === 'constraint_failed') return
        if (![400, 404].includes(reply.statusCode)) throw new Error(`${reply.statusCode} ${reply.body}`)
        const found = wrong(reply.json())
        if (found.length > 0) throw new Error(found.join())
      }),
      { numRuns: runs }
    )
    t.ok((statuses.get(200) ?? 0) > 0 && (statuses.get(400) ?? 0) > 0, JSON.stringify([...statuses]))
  })
}

function openaiError(body: unknown): string[] {
  return violations('ErrorResponse', body)
}

function anthropicError(body: { type?: unknown; error?: { type?: unknown; message?: unknown } }): string[] {
  const { type, error } = body
  const right = type === 'error' && typeof error?.type === 'string' && typeof error.message === 'string'
  return right ? [] : [JSON.stringify(body)]
}

/** An earlier change may have removed the place. */
function spoil(value: Json, place: Array<string | number>, by: Json | undefined): Json {
  if (place.length === 0) return by ?? null
  try {
    return replaced(value, place, by)
  } catch {
    return value
  }
}
