/** Chat requests to break: one with every field of the specification, and ways to spoil it. */
import fc from 'fast-check'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Every field of the specification, in every form that matters. */
export const fullBody: { [key: string]: Json } = {
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

/** What is put in the place of a field; undefined: nothing, the field goes. */
export const junk = fc.constantFrom<Json | undefined>(
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

export type Path = Array<string | number>

/** All places in a value, from the outside in. */
export function paths(value: Json, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [at]
  const entries: Array<[string | number, Json]> = Array.isArray(value)
    ? value.map((entry, index) => [index, entry])
    : Object.entries(value)
  return [at, ...entries.flatMap(([key, entry]) => paths(entry, [...at, key]))]
}

/** A copy with the value at `path` replaced; undefined removes it. */
export function replaced(value: Json, path: Path, by: Json | undefined): Json {
  const copy = structuredClone(value) as Record<string | number, Json>
  let parent = copy
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string | number, Json>
  const last = path.at(-1) as string | number
  if (by !== undefined) parent[last] = by
  else if (Array.isArray(parent)) parent.splice(last as number, 1)
  else delete parent[last]
  return copy
}
