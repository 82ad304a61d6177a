import fc from 'fast-check'
import t from 'tap'
import type { AnswerEvent } from '../../../src/protocol/tools/events.js'
import { type AnswerOptions, createAnswerParser } from '../../../src/protocol/tools/parser.js'

interface Summary {
  content: string
  reasoning: string
  calls: Array<{ name: string; arguments: string; ended: boolean }>
}

function read(options: AnswerOptions, pieces: string[]): Summary {
  const parser = createAnswerParser(options)
  const events: AnswerEvent[] = []
  for (const piece of pieces) events.push(...parser.push(piece))
  events.push(...parser.end())
  const summary: Summary = { content: '', reasoning: '', calls: [] }
  const ids = new Set<string>()
  for (const event of events) {
    if (event.type === 'content' || event.type === 'reasoning') {
      if (event.text === '') throw new Error('an empty delta')
      summary[event.type] += event.text
    } else if (event.type === 'call') {
      if (event.index !== summary.calls.length || ids.has(event.id)) throw new Error('index or id repeats')
      ids.add(event.id)
      summary.calls.push({ name: event.name, arguments: '', ended: false })
    } else if (event.index !== summary.calls.length - 1) throw new Error('a delta of an earlier call')
    else if (event.type === 'arguments') summary.calls[event.index]!.arguments += event.text
    else summary.calls[event.index]!.ended = true
  }
  return summary
}

const call = (name: string, args: string) => ({ name, arguments: args, ended: true })
const typed = [
  {
    name: 'edit',
    parameters: {
      properties: { text: { type: 'string' }, n: { type: 'integer' }, maybe: { type: ['string', 'null'] } }
    }
  }
]
const think = { kind: 'tags', open: '<think>', close: '</think>', opened: false } as const

const many = '\n'.repeat(20)

const cases: Array<{ name: string; options: AnswerOptions; text: string; expected: Partial<Summary> }> = [
  {
    name: 'hermes: thinking, text, two calls',
    options: { format: 'hermes', thinking: think },
    text: '<think>\nHm, <b> and "x".\n</think>\n\nLet me look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Pa\\"ris}", "n": [1, {"a": null}]}}\n</tool_call>\n<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>',
    expected: {
      reasoning: 'Hm, <b> and "x".',
      content: 'Let me look.',
      calls: [call('weather', '{"city": "Pa\\"ris}", "n": [1, {"a": null}]}'), call('clock', '{}')]
    }
  },
  {
    name: 'more blanks than markup has are text',
    options: { format: 'hermes', thinking: think },
    text: `${many}<think>a</think>${many}b`,
    expected: { reasoning: '', content: `${many}<think>a</think>${many}b`, calls: [] }
  },
  {
    name: 'any blanks after thinking are dropped',
    options: { format: null, thinking: think },
    text: `\n\n<think>a</think>${many}b${many}`,
    expected: { reasoning: 'a', content: `b${many}`, calls: [] }
  },
  {
    name: 'blanks before a call belong to it, as many as markup has',
    options: { format: 'hermes', thinking: null },
    text: `a${many}<tool_call>{"name":"x","arguments":{}}</tool_call>`,
    expected: { content: `a${'\n'.repeat(4)}`, calls: [call('x', '{}')] }
  },
  {
    name: 'hermes: arguments before the name, as a string, none at all',
    options: { format: 'hermes', thinking: null },
    text: '<tool_call>{"arguments": {"a": 1}, "name": "x"}</tool_call><tool_call>{"name":"y","arguments":"{\\"b\\":2}"}</tool_call><tool_call>{"name":"z"}</tool_call>',
    expected: { content: '', calls: [call('x', '{"a": 1}'), call('y', '{"b":2}'), call('z', '{}')] }
  },
  {
    name: 'hermes: what is no call stays text',
    options: { format: 'generic', thinking: null },
    text: 'Write <tool_call>not json</tool_call> or <tool_call>{"foo": 1}</tool_call>, a < b.\n',
    expected: {
      content: 'Write <tool_call>not json</tool_call> or <tool_call>{"foo": 1}</tool_call>, a < b.\n',
      calls: []
    }
  },
  {
    name: 'hermes: cut off in the middle of the arguments',
    options: { format: 'hermes', thinking: null },
    text: '<tool_call>\n{"name": "x", "arguments": {"a": "unfini',
    expected: { content: '', calls: [call('x', '{"a": "unfini')] }
  },
  {
    name: 'thinking that the prompt has opened',
    options: { format: null, thinking: { ...think, opened: true } },
    text: 'First this.\n</think>\n\nThen <tool_call> is text.',
    expected: { reasoning: 'First this.', content: 'Then <tool_call> is text.', calls: [] }
  },
  {
    name: 'thinking that never ends',
    options: { format: 'hermes', thinking: think },
    text: '<think>on and on </thin',
    expected: { reasoning: 'on and on </thin', content: '', calls: [] }
  },
  {
    name: 'thinking that was cut off after blanks',
    options: { format: 'hermes', thinking: think },
    text: '<think>\n\n',
    expected: { reasoning: '\n\n', content: '', calls: [] }
  },
  {
    name: 'no thinking, only a word that begins like it',
    options: { format: 'hermes', thinking: think },
    text: '<thing> is not a thought',
    expected: { reasoning: '', content: '<thing> is not a thought', calls: [] }
  },
  {
    name: 'llama 3: a bare object',
    options: { format: 'llama3', thinking: null },
    text: '{"name": "weather", "parameters": {"city": "Rome"}}; {"name": "clock", "parameters": {}}',
    expected: { content: '', calls: [call('weather', '{"city": "Rome"}'), call('clock', '{}')] }
  },
  {
    name: 'llama 3: behind the python tag, with a type',
    options: { format: 'llama3', thinking: null },
    text: '<|python_tag|>{"type": "function", "name": "weather", "parameters": {"city": "Rome"}}',
    expected: { content: '', calls: [call('weather', '{"city": "Rome"}')] }
  },
  {
    name: 'llama 3: JSON that is an answer',
    options: { format: 'llama3', thinking: null },
    text: '{"city": "Rome", "name": 1}',
    expected: { content: '{"city": "Rome", "name": 1}', calls: [] }
  },
  {
    name: 'mistral: an array',
    options: { format: 'mistral', thinking: null },
    text: '[TOOL_CALLS][{"name": "a", "arguments": {"x": 1}, "id": "abcdefghi"}, {"name": "b", "arguments": {}}]',
    expected: { content: '', calls: [call('a', '{"x": 1}'), call('b', '{}')] }
  },
  {
    name: 'mistral: name and arguments',
    options: { format: 'mistral-args', thinking: null },
    text: 'Sure.[TOOL_CALLS]a[ARGS]{"x": "[TOOL_CALLS]"}[TOOL_CALLS]b[CALL_ID]abcdefghi[ARGS]{}',
    expected: { content: 'Sure.', calls: [call('a', '{"x": "[TOOL_CALLS]"}'), call('b', '{}')] }
  },
  {
    name: 'deepseek r1',
    options: { format: 'deepseek', thinking: { ...think, opened: true } },
    text: 'why\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>a\n```json\n{"x": 1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>b\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    expected: { reasoning: 'why', content: '', calls: [call('a', '{"x": 1}'), call('b', '{}')] }
  },
  {
    name: 'deepseek v3.1',
    options: { format: 'deepseek-v3.1', thinking: null },
    text: 'ok<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>a<｜tool▁sep｜>{"x": 1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>b<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    expected: { content: 'ok', calls: [call('a', '{"x": 1}'), call('b', '{}')] }
  },
  {
    name: 'function tags',
    options: { format: 'function-tag', thinking: null },
    text: '<function=a>{"x": 1}</function><function=b>{}</function>',
    expected: { content: '', calls: [call('a', '{"x": 1}'), call('b', '{}')] }
  },
  {
    name: 'harmony: analysis, preamble, call',
    options: { format: 'harmony', thinking: { kind: 'channels' } },
    text: '<|channel|>analysis<|message|>Need weather.<|end|><|start|>assistant<|channel|>commentary<|message|>Looking.<|end|><|start|>assistant<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{"city":"Rome"}<|call|>',
    expected: { reasoning: 'Need weather.', content: 'Looking.', calls: [call('weather', '{"city":"Rome"}')] }
  },
  {
    name: 'harmony: recipient before the channel',
    options: { format: 'harmony', thinking: { kind: 'channels' } },
    text: ' to=functions.weather<|channel|>commentary json<|message|>{"city":"Rome"}',
    expected: { content: '', calls: [call('weather', '{"city":"Rome"}')] }
  },
  {
    name: 'harmony: final answer',
    options: { format: null, thinking: { kind: 'channels' } },
    text: '<|channel|>analysis<|message|>Easy. 1 < 2<|end|><|start|>assistant<|channel|>final<|message|>It is 4.\n\nYes.<|return|>',
    expected: { reasoning: 'Easy. 1 < 2', content: 'It is 4.\n\nYes.', calls: [] }
  },
  {
    name: 'harmony: no markers at all',
    options: { format: 'harmony', thinking: { kind: 'channels' } },
    text: 'Plain text.',
    expected: { content: 'Plain text.', calls: [] }
  },
  {
    name: 'qwen coder: texts as they are, other values by their type, a second call',
    options: { format: 'qwen-coder', thinking: think, tools: typed },
    text: '<think>\nso\n</think>\n\nOk.\n<tool_call>\n<function=edit>\n<parameter=text>\n5 < 6\n\n"</p>\n</parameter>\n<parameter=n>\n7\n</parameter>\n<parameter=maybe>\nnull\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=ls>\n</function>\n</tool_call>',
    expected: {
      reasoning: 'so',
      content: 'Ok.',
      calls: [call('edit', '{"text": "5 < 6\\n\\n\\"</p>", "n": 7, "maybe": null}'), call('ls', '{}')]
    }
  },
  {
    name: 'qwen coder: without the first tag, on one line, an empty text, a type that is not kept',
    options: { format: 'qwen-coder', thinking: null, tools: typed },
    text: 'Ok.\n<function=edit><parameter=text></parameter><parameter=n>many</parameter><parameter=maybe>12</parameter></function>',
    expected: { content: 'Ok.', calls: [call('edit', '{"text": "", "n": "many", "maybe": "12"}')] }
  },
  {
    name: 'qwen coder: without a schema, what reads as JSON is JSON',
    options: { format: 'qwen-coder', thinking: null },
    text: '<tool_call>\n<function=x>\n<parameter=a>\nTrue\n</parameter>\n<parameter=b>\nyes\n</parameter>\n</function>\n</tool_call>',
    expected: { content: '', calls: [call('x', '{"a": true, "b": "yes"}')] }
  },
  {
    name: 'qwen coder: what is no call stays text',
    options: { format: 'qwen-coder', thinking: null },
    text: 'Write <tool_call> or <tool_call>\n<function=a b>.',
    expected: { content: 'Write <tool_call> or <tool_call>\n<function=a b>.', calls: [] }
  },
  {
    name: 'glm: with and without line breaks',
    options: { format: 'glm', thinking: null, tools: typed },
    text: '<tool_call>edit\n<arg_key>text</arg_key>\n<arg_value>a\nb</arg_value>\n<arg_key>n</arg_key>\n<arg_value>3</arg_value>\n</tool_call><tool_call>edit<arg_key>text</arg_key><arg_value>3</arg_value></tool_call>\n<tool_call>ls</tool_call>',
    expected: {
      content: '',
      calls: [call('edit', '{"text": "a\\nb", "n": 3}'), call('edit', '{"text": "3"}'), call('ls', '{}')]
    }
  },
  {
    name: 'minimax: two calls in one section',
    options: { format: 'minimax', thinking: null, tools: typed },
    text: 'Ok.\n<minimax:tool_call>\n<invoke name="edit"><parameter name="text">a</parameter>\n<parameter name="n">1</parameter>\n</invoke>\n<invoke name="ls"></invoke>\n</minimax:tool_call>',
    expected: { content: 'Ok.', calls: [call('edit', '{"text": "a", "n": 1}'), call('ls', '{}')] }
  },
  {
    name: 'kimi: numbered names',
    options: { format: 'kimi', thinking: null },
    text: 'Ok.<|tool_calls_section_begin|><|tool_call_begin|>functions.a.b:0<|tool_call_argument_begin|>{"x": 1}<|tool_call_end|><|tool_call_begin|>functions.c:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>',
    expected: { content: 'Ok.', calls: [call('a.b', '{"x": 1}'), call('c', '{}')] }
  },
  {
    name: 'neither tools nor thinking: nothing is touched',
    options: { format: null, thinking: null },
    text: '\n <think>a</think> <tool_call>{}</tool_call> \n',
    expected: { content: '\n <think>a</think> <tool_call>{}</tool_call> \n', calls: [] }
  }
]

for (const { name, options, text, expected } of cases) {
  t.test(name, async t => {
    t.match(read(options, [text]), expected)
    const whole = read(options, [text])
    t.same(read(options, [...text]), whole, 'one character at a time')
    for (let at = 1; at < text.length; at++) {
      const split = read(options, [text.slice(0, at), text.slice(at)])
      if (JSON.stringify(split) !== JSON.stringify(whole)) t.same(split, whole, `split at ${at}`)
    }
  })
}

t.test('any text, cut anywhere, comes out the same, and without tools as it was', async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '<tool_call>',
      '</tool_call>',
      '<think>',
      '</think>',
      '{"name": "x", "arguments": {',
      '}',
      '"',
      '\n'
    ),
    fc.constantFrom(
      '<|channel|>',
      '<|message|>',
      'final',
      '<|end|>',
      '[TOOL_CALLS]',
      '[ARGS]',
      '<｜tool▁calls▁begin｜>',
      ' to=functions.a'
    ),
    fc.constantFrom('<function=', 'edit', '>', '<parameter=text>', '</parameter>', '</function>'),
    fc.constantFrom('<arg_key>', 'text', '</arg_key>', '<arg_value>', '</arg_value>', '<parameter=n>', '7'),
    fc.string({ maxLength: 6 })
  )
  const formats = fc.constantFrom(
    'hermes',
    'llama3',
    'mistral',
    'mistral-args',
    'deepseek',
    'harmony',
    'qwen-coder',
    'glm',
    null
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), formats, fc.boolean(), (pieces, format, opened) => {
      const options: AnswerOptions = {
        format,
        thinking: format === 'harmony' ? null : { ...think, opened },
        tools: typed
      }
      const whole = read(options, [pieces.join('')])
      return JSON.stringify(read(options, [...pieces.join('')])) === JSON.stringify(whole)
    }),
    { numRuns: 2000, endOnFailure: true }
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), pieces => {
      return read({ format: null, thinking: null }, pieces).content === pieces.join('')
    })
  )
})

t.test('tags: cut off, texts as far as they came; ended by the model, closed', async t => {
  const events = (cut: boolean, text: string) => {
    const parser = createAnswerParser({ format: 'qwen-coder', thinking: null, tools: typed })
    const all = [...parser.push(text), ...parser.end(cut)]
    return [
      all.map(event => (event.type === 'arguments' ? event.text : '')).join(''),
      all.some(event => event.type === 'callEnd' && event.complete)
    ]
  }
  const begun = '<tool_call>\n<function=edit>\n'
  t.same(events(true, begun), ['', false])
  t.same(events(false, begun), ['{}', true])
  t.same(events(true, `${begun}<parameter=text>\nab\n</par`), ['{"text": "ab', false])
  t.same(events(false, `${begun}<parameter=text>\nab`), ['{"text": "ab"}', true])
  t.same(events(true, `${begun}<parameter=n>\n12`), ['{"n": 12', false])
})

t.test('cut off when all was blanks and markers: told, unless a call was', async t => {
  const events = (cut: boolean, text: string) => {
    const parser = createAnswerParser({ format: 'hermes', thinking: think })
    return [...parser.push(text), ...parser.end(cut)].filter(({ type }) => /content|reasoning/.test(type))
  }
  const blanks = '\n'.repeat(9)
  t.same(events(true, `<think>\n\n</think>${blanks}`), [{ type: 'content', text: blanks }])
  t.same(events(false, `<think>\n\n</think>${blanks}`), [], 'it ended by itself: there is no answer')
  t.same(events(true, '<think></think><think>\n\n'), [{ type: 'reasoning', text: '\n\n' }])
  t.same(events(true, '<tool_call>{"name":"x","arguments":{}}</tool_call>\n\n'), [])
  t.same(events(true, '<think>a</think>\n\nb'), [
    { type: 'reasoning', text: 'a' },
    { type: 'content', text: 'b' }
  ])
})

t.test('ids have the length that a template insists on', async t => {
  const ids = (format: 'mistral' | 'hermes', text: string) =>
    createAnswerParser({ format, thinking: null })
      .push(text)
      .flatMap(event => (event.type === 'call' ? [event.id] : []))
  t.match(ids('mistral', '[TOOL_CALLS][{"name": "a", "arguments": {}}]')[0], /^[a-zA-Z0-9]{9}$/)
  t.match(ids('hermes', '<tool_call>{"name": "a", "arguments": {}}')[0], /^call_[a-zA-Z0-9]{24}$/)
})

t.test('nobody waits for blanks that are text', t => {
  const plain = createAnswerParser({ format: null, thinking: null })
  t.same(plain.push('\n\n'), [{ type: 'content', text: '\n\n' }])
  t.same(plain.push('a \n'), [{ type: 'content', text: 'a \n' }])
  const thinking = createAnswerParser({ format: null, thinking: think })
  t.same(thinking.push('\n\n'), [], 'thinking may begin')
  t.same(thinking.push('\n'), [{ type: 'content', text: '\n\n\n' }])
  t.same(thinking.push('\n'), [{ type: 'content', text: '\n' }])
  const tools = createAnswerParser({ format: 'hermes', thinking: null })
  t.same(tools.push(`a${many}`), [{ type: 'content', text: 'a\n\n\n\n' }])
  t.end()
})
