import t from 'tap'
import type { Thinking } from '../../src/engine/constraint/thinking.js'
import type { GenerationRequest } from '../../src/engine/messages.js'
import { ApiError } from '../../src/protocol/errors.js'
import { toGenerationRequest } from '../../src/protocol/openai/chat-request.js'
import type { ChatRequest } from '../../src/protocol/openai/schema/chat.js'
import type { TemplateInput } from '../../src/protocol/template/types.js'

const messages: ChatRequest['messages'] = [{ role: 'user', content: 'Hello' }]

interface Converted {
  request: GenerationRequest
  input: TemplateInput
}

function convert(
  body: Partial<ChatRequest>,
  caller = { salt: '', tenant: '127.0.0.1' },
  thinking: Thinking | null = null
): Converted {
  let input: TemplateInput | undefined
  const request = toGenerationRequest(
    { messages, ...body },
    {
      caller,
      vocabularySize: 100,
      render: given => {
        input = given
        return {
          text: 'rendered',
          addSpecial: true,
          anchors: [3],
          toolFormat: 'generic',
          thinking,
          rewritten: 0,
          drawn: []
        }
      }
    }
  )
  return { request, input: input as TemplateInput }
}

function refusal(body: Partial<ChatRequest>): { code: string; param: string | null; message: string } {
  try {
    convert(body)
  } catch (error) {
    if (error instanceof ApiError) return { code: error.code, param: error.param, message: error.message }
    throw error
  }
  return { code: 'none', param: null, message: '' }
}

t.test("defaults are OpenAI's", async t => {
  const { request } = convert({})
  t.match(request, {
    prompt: [{ type: 'text', text: 'rendered', parseSpecial: true, addSpecial: true, anchors: [3] }],
    maxTokens: null,
    choices: 1,
    stop: [],
    ignoreEndOfText: false,
    emitSpecial: false,
    logprobs: null,
    constraint: null,
    cachePrompt: true,
    reproducible: false,
    tenant: '127.0.0.1'
  })
  const { seed, ...sampling } = request.sampling
  t.strictSame(sampling, {
    temperature: 1,
    topK: 0,
    topP: 1,
    minP: 0,
    repeatPenalty: 1,
    repeatLastN: 64,
    frequencyPenalty: 0,
    presencePenalty: 0,
    logitBias: []
  })
  t.ok(Number.isInteger(seed) && seed >= 0 && seed < 0xffffffff)
})

t.test('without a seed each request draws its own', async t => {
  const seeds = new Set(Array.from({ length: 20 }, () => convert({}).request.sampling.seed))
  t.ok(seeds.size > 18)
  t.not(convert({ seed: -1 }).request.sampling.seed, convert({ seed: -1 }).request.sampling.seed)
})

t.test('a seed of 64 bits becomes one of 32, never the one that llama.cpp reads as random', async t => {
  const seedOf = (seed: number) => convert({ seed }).request.sampling.seed
  t.equal(seedOf(0), 0)
  t.equal(seedOf(42), 42)
  t.equal(seedOf(2 ** 32 + 5), 4)
  t.equal(seedOf(0xffffffff), 0xfffffffe)
  for (const seed of [-2, -(2 ** 63), 2 ** 63, 2 ** 53 - 1]) {
    t.ok(seedOf(seed) >= 0 && seedOf(seed) < 0xffffffff, String(seed))
    t.equal(seedOf(seed), seedOf(seed))
  }
})

t.test('sampling fields and extensions arrive under the names of the engine', async t => {
  const { request } = convert({
    temperature: 0.5,
    top_p: 0.9,
    top_k: 40,
    min_p: 0.05,
    repeat_penalty: 1.1,
    repeat_last_n: 128,
    frequency_penalty: 0.5,
    presence_penalty: -0.5,
    logit_bias: { '7': -100, '99': 200 },
    ignore_eos: true,
    cache_prompt: false,
    n: 3,
    stop: ['a', '', 'b'],
    logprobs: true,
    top_logprobs: 5,
    max_tokens: 10,
    max_completion_tokens: 20
  })
  t.match(request, {
    maxTokens: 20,
    choices: 3,
    stop: ['a', 'b'],
    ignoreEndOfText: true,
    cachePrompt: false,
    logprobs: 5,
    sampling: {
      temperature: 0.5,
      topK: 40,
      topP: 0.9,
      minP: 0.05,
      repeatPenalty: 1.1,
      repeatLastN: 128,
      frequencyPenalty: 0.5,
      presencePenalty: -0.5,
      logitBias: [
        { token: 7, bias: -100 },
        { token: 99, bias: 100 }
      ]
    }
  })
})

t.test('nulls are as good as nothing', async t => {
  const { request } = convert({
    temperature: null,
    n: null,
    stop: null,
    seed: null,
    max_tokens: null,
    logit_bias: null
  })
  t.match(request, { choices: 1, stop: [], maxTokens: null, sampling: { temperature: 1, logitBias: [] } })
})

t.test('a single stop text, no top_k, and llama.cpp as many as fit', async t => {
  const { request } = convert({
    stop: 'end',
    top_k: -1,
    max_tokens: -1,
    logprobs: true,
    repetition_penalty: 1.3
  })
  t.match(request, { stop: ['end'], maxTokens: null, logprobs: 0, sampling: { topK: 0, repeatPenalty: 1.3 } })
})

t.test("OpenAI's penalties look at the whole text unless told otherwise", async t => {
  t.equal(convert({ frequency_penalty: 1 }).request.sampling.repeatLastN, -1)
  t.equal(convert({ presence_penalty: 1, repeat_last_n: 8 }).request.sampling.repeatLastN, 8)
})

t.test('reproducible: a seed and temperature 0 together', async t => {
  t.equal(convert({ seed: 1, temperature: 0 }).request.reproducible, true)
  t.equal(convert({ seed: 1 }).request.reproducible, false)
  t.equal(convert({ temperature: 0 }).request.reproducible, false)
  t.equal(convert({ seed: -1, temperature: 0 }).request.reproducible, false)
})

t.test('salt: key and cache_salt, told apart', async t => {
  const salt = (key: string, cache_salt?: string) =>
    convert({ cache_salt }, { salt: key, tenant: 'x' }).request.salt
  t.equal(salt(''), '')
  t.equal(salt('key'), 'key')
  t.equal(salt('key', ''), 'key')
  t.equal(new Set([salt('key'), salt('', 'key'), salt('key', 'a'), salt('keya'), salt('', 'keya')]).size, 5)
})

t.test('response_format and grammar become a constraint', async t => {
  const schema = { type: 'object', properties: { a: { type: 'number' } } }
  const of = (body: Partial<ChatRequest>) => convert(body).request.constraint
  t.equal(of({ response_format: { type: 'text' } }), null)
  t.strictSame(of({ response_format: { type: 'json_object' } }), { type: 'json_object' })
  t.strictSame(
    of({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } } }),
    {
      type: 'json_schema',
      schema,
      strict: true
    }
  )
  t.strictSame(of({ response_format: { type: 'json_schema', json_schema: { name: 'x' } } }), {
    type: 'json_object'
  })
  t.strictSame(of({ grammar: 'root ::= "a"' }), { type: 'grammar', grammar: 'root ::= "a"' })
  t.match(refusal({ grammar: 'root ::= "a"', response_format: { type: 'json_object' } }), {
    param: 'grammar'
  })
})

t.test('what can be known without an engine is refused', async t => {
  const cases: Array<[Partial<ChatRequest>, string, string]> = [
    [{ stream_options: { include_usage: true } }, 'invalid_value', 'stream_options'],
    [{ top_logprobs: 3 }, 'invalid_value', 'top_logprobs'],
    [{ max_tokens: 0 }, 'invalid_value', 'max_tokens'],
    [{ max_completion_tokens: -2 }, 'invalid_value', 'max_completion_tokens'],
    [{ logit_bias: { '100': 1 } }, 'invalid_value', 'logit_bias'],
    [{ logit_bias: { '-1': 1 } }, 'invalid_value', 'logit_bias'],
    [{ logit_bias: { '1.5': 1 } }, 'invalid_value', 'logit_bias'],
    [{ logit_bias: { '': 1 } }, 'invalid_value', 'logit_bias'],
    [{ modalities: ['text', 'audio'] }, 'unsupported_value', 'modalities'],
    [{ tool_choice: 'required' }, 'invalid_value', 'tool_choice'],
    [{ tool_choice: { type: 'function', function: { name: 'f' } } }, 'invalid_value', 'tool_choice'],
    [{ tools: [{ type: 'custom', custom: { name: 'c' } }] }, 'unsupported_value', 'tools.0.type']
  ]
  for (const [body, code, param] of cases) t.match(refusal(body), { code, param }, JSON.stringify(body))
})

t.test('messages: parts are joined, arguments are objects, developer is system', async t => {
  const { input } = convert({
    messages: [
      {
        role: 'developer',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' }
        ]
      },
      { role: 'user', content: 'question', name: 'ann' },
      {
        role: 'assistant',
        content: null,
        reasoning_content: 'hm',
        tool_calls: [
          { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
          { id: 'c2', type: 'function', function: { name: 'g', arguments: '' } },
          { id: 'c3', type: 'function', function: { name: 'h', arguments: '{"cut": "of' } }
        ]
      },
      { role: 'tool', tool_call_id: 'c1', content: [{ type: 'text', text: 'result' }] },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }] },
      { role: 'assistant', function_call: { name: 'old', arguments: '{}' } },
      { role: 'function', name: 'old', content: null }
    ]
  })
  t.strictSame(input.messages, [
    { role: 'system', content: 'ab' },
    { role: 'user', content: 'question', name: 'ann' },
    {
      role: 'assistant',
      content: '',
      reasoning_content: 'hm',
      tool_calls: [
        { id: 'c1', type: 'function', function: { name: 'f', arguments: { x: 1 } } },
        { id: 'c2', type: 'function', function: { name: 'g', arguments: {} } },
        { id: 'c3', type: 'function', function: { name: 'h', arguments: { cut: 'of' } } }
      ]
    },
    { role: 'tool', content: 'result', tool_call_id: 'c1' },
    { role: 'assistant', content: 'no' },
    {
      role: 'assistant',
      content: '',
      tool_calls: [{ id: 'call_0', type: 'function', function: { name: 'old', arguments: {} } }]
    },
    { role: 'tool', content: '', name: 'old' }
  ])
})

t.test('images, audio and files are a clear refusal that says where', async t => {
  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } } as const
  const body: Partial<ChatRequest> = {
    messages: [{ role: 'user', content: [{ type: 'text', text: 'x' }, image] }]
  }
  t.match(refusal(body), {
    code: 'unsupported_value',
    param: 'messages.0.content.1.type',
    message: /image_url/
  })
  const file = { type: 'file', file: { file_id: 'x' } } as const
  t.match(refusal({ messages: [{ role: 'user', content: [file] }] }), { code: 'unsupported_value' })
})

t.test('tools reach the template in order, as far as tool_choice lets them', async t => {
  const tool = (name: string) => ({ type: 'function' as const, function: { name } })
  const tools = [tool('b'), tool('a')]
  const names = (body: Partial<ChatRequest>) =>
    convert({ tools, ...body }).input.tools.map(given => given.function.name)
  t.strictSame(names({}), ['b', 'a'])
  t.strictSame(names({ tool_choice: 'auto' }), ['b', 'a'])
  t.strictSame(names({ tool_choice: 'required' }), ['b', 'a'])
  t.strictSame(names({ tool_choice: 'none' }), [])
  t.strictSame(names({ tool_choice: tool('a') }), ['b', 'a'])
  t.strictSame(
    names({ tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [tool('a')] } } }),
    ['b', 'a'],
    'the prompt stays as it is'
  )
  t.strictSame(names({ tools: undefined, functions: [{ name: 'f' }] }), ['f'])
  t.match(refusal({ tools, tool_choice: tool('c') }), { param: 'tool_choice', message: /'c'/ })
  t.match(refusal({ functions: [{ name: 'f' }], function_call: { name: 'g' } }), { param: 'tool_choice' })
})

t.test('template variables', async t => {
  const { input } = convert({ reasoning_effort: 'low', chat_template_kwargs: { enable_thinking: false } })
  t.strictSame(input.variables, { reasoning_effort: 'low', enable_thinking: false })
})
