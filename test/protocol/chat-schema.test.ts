import fc from 'fast-check'
import t from 'tap'
import { ChatRequest } from '../../src/protocol/openai/schema/chat.js'
import { bodyValidator } from '../support/body-validator.js'
import { violations } from '../support/openai-schema.js'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

const issues = bodyValidator(ChatRequest)

/** Every field of the specification, in every form that matters. */
const full: Json = {
  model: 'm',
  messages: [
    { role: 'system', content: 's', name: 'n' },
    { role: 'developer', content: [{ type: 'text', text: 't' }] },
    {
      role: 'user',
      content: [
        { type: 'text', text: 't' },
        { type: 'image_url', image_url: { url: 'http://x/y', detail: 'low' } },
        { type: 'input_audio', input_audio: { data: 'AA', format: 'wav' } },
        { type: 'file', file: { file_id: 'f', filename: 'n', file_data: 'd' } }
      ]
    },
    {
      role: 'assistant',
      content: [
        { type: 'text', text: 't' },
        { type: 'refusal', refusal: 'r' }
      ],
      refusal: 'no',
      audio: { id: 'a' },
      tool_calls: [
        { id: 'i', type: 'function', function: { name: 'f', arguments: '{}' } },
        { id: 'j', type: 'custom', custom: { name: 'f', input: '' } }
      ],
      function_call: { name: 'f', arguments: '{}' }
    },
    { role: 'tool', content: 'r', tool_call_id: 'i' },
    { role: 'function', content: 'r', name: 'f' }
  ],
  max_tokens: 5,
  max_completion_tokens: 5,
  n: 2,
  stream: true,
  stream_options: { include_usage: true, include_obfuscation: false },
  temperature: 1,
  top_p: 0.5,
  frequency_penalty: 1,
  presence_penalty: -1,
  seed: 3,
  logit_bias: { '5': 1 },
  stop: ['a', 'b'],
  logprobs: true,
  top_logprobs: 3,
  response_format: {
    type: 'json_schema',
    json_schema: { name: 'x', description: 'd', schema: { type: 'object' }, strict: true }
  },
  modalities: ['text'],
  reasoning_effort: 'low',
  verbosity: 'low',
  tools: [
    { type: 'function', function: { name: 'f', description: 'd', parameters: {}, strict: false } },
    {
      type: 'custom',
      custom: { name: 'c', format: { type: 'grammar', grammar: { definition: 'x', syntax: 'lark' } } }
    },
    { type: 'custom', custom: { name: 'c', format: { type: 'text' } } }
  ],
  tool_choice: { type: 'function', function: { name: 'f' } },
  parallel_tool_calls: true,
  functions: [{ name: 'f', description: 'd', parameters: {} }],
  function_call: { name: 'f' },
  service_tier: 'auto',
  store: false,
  metadata: { a: 'b' },
  user: 'u',
  safety_identifier: 's',
  prompt_cache_key: 'k',
  prompt_cache_retention: '24h',
  prompt_cache_options: { ttl: '30m', mode: 'implicit' },
  moderation: { model: 'm' },
  prediction: { type: 'content', content: [{ type: 'text', text: 't' }] },
  audio: { voice: 'alloy', format: 'wav' },
  web_search_options: {
    search_context_size: 'low',
    user_location: {
      type: 'approximate',
      approximate: { country: 'c', city: 'x', region: 'r', timezone: 't' }
    }
  }
}

/** Fields whose other forms are tried as well. */
const otherForms: Array<[string, Json[]]> = [
  ['tool_choice', ['none', 'auto', 'required', { type: 'custom', custom: { name: 'c' } }]],
  [
    'tool_choice',
    [{ type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [{ type: 'function' }] } }]
  ],
  ['response_format', [{ type: 'text' }, { type: 'json_object' }]],
  ['stop', ['x', null]],
  ['function_call', ['none', 'auto']],
  ['audio', [{ voice: { id: 'v' }, format: 'mp3' }]],
  ['prediction', [{ type: 'content', content: 'x' }]]
]

t.test('the specification and ours accept the same full request', async t => {
  t.strictSame(violations('CreateChatCompletionRequest', full), [])
  t.strictSame(issues(full), [])
  for (const [field, forms] of otherForms) {
    for (const form of forms) {
      const body = { ...full, [field]: form }
      t.strictSame(violations('CreateChatCompletionRequest', body), [], `${field} by the specification`)
      t.strictSame(issues(body), [], `${field} by ours`)
    }
  }
})

/** Where ours is looser on purpose. */
const looser = new Set([
  // May be left out.
  'model',
  // The specification has it twice, with and without null.
  'top_logprobs'
])
/** Not checked by us: what is inside of fields without effect here, and formats. */
const unchecked = /^(moderation\.policy|messages\.\d+\.content\.\d+\.image_url\.url)/

t.test('broken copies: what the specification rejects we reject, and nothing else', async () => {
  const places = paths(full).filter(path => path.length > 0)
  const junk = fc.constantFrom<Json | undefined>(
    undefined,
    null,
    true,
    0,
    1.5,
    -3,
    1e12,
    '',
    'text',
    [],
    ['x'],
    ['a', 'b', 'c', 'd', 'e'],
    [{}],
    {},
    { type: 'function' },
    { type: 'text' },
    { role: 'user' }
  )
  fc.assert(
    fc.property(fc.constantFrom(...places), junk, (place, value) => {
      if (looser.has(String(place[0])) || unchecked.test(place.join('.'))) return
      const body = replaced(full, place, value)
      const theirs = violations('CreateChatCompletionRequest', body)
      const ours = issues(body)
      if (theirs.length > 0 === ours.length > 0) return
      const what = `${place.join('.')} = ${JSON.stringify(value)}`
      throw new Error(
        `${what}\nspecification: ${theirs.slice(0, 5).join('; ')}\nours: ${JSON.stringify(ours[0])}`
      )
    }),
    { numRuns: 3000, seed: 1 }
  )
})

t.test('unknown fields are ignored and extensions have types', async t => {
  const small = { messages: [{ role: 'user', content: 'x', extra: 1 }], whatever: {} }
  t.strictSame(issues(small), [])
  t.strictSame(
    issues({ ...small, top_k: 5, min_p: 0.1, cache_prompt: true, chat_template_kwargs: { a: 1 } }),
    []
  )
  for (const wrong of [
    { top_k: 'x' },
    { min_p: 2 },
    { cache_prompt: 1 },
    { chat_template_kwargs: [] },
    { grammar: 1 }
  ]) {
    t.not(issues({ ...small, ...wrong }).length, 0, JSON.stringify(wrong))
  }
})

type Path = Array<string | number>

function paths(value: Json, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [at]
  const entries: Array<[string | number, Json]> = Array.isArray(value)
    ? value.map((entry, index) => [index, entry])
    : Object.entries(value)
  return [at, ...entries.flatMap(([key, entry]) => paths(entry, [...at, key]))]
}

/** A copy with the value at `path` replaced; undefined removes it. */
function replaced(value: Json, path: Path, by: Json | undefined): Json {
  const copy = structuredClone(value) as Record<string | number, Json>
  let parent = copy
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string | number, Json>
  const last = path.at(-1) as string | number
  if (by !== undefined) parent[last] = by
  else if (Array.isArray(parent)) parent.splice(last as number, 1)
  else delete parent[last]
  return copy
}
