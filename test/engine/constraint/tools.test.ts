import t from 'tap'
import type { ConstraintInput } from '../../../src/engine/constraint/constraint.js'
import { createConstraintService } from '../../../src/engine/constraint/service.js'
import type { Thinking } from '../../../src/engine/constraint/thinking.js'
import { TOOL_SYNTAXES, type ToolFormat } from '../../../src/engine/constraint/tool-syntax.js'
import { validateFinished } from '../../../src/engine/constraint/validate.js'
import { createAnswerParser } from '../../../src/protocol/tools/parser.js'
import { readVocabulary, spell } from './vocabulary.js'
import { accepts, randomFrom, walk } from './walk.js'

const weather = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer', minimum: 1, maximum: 9 } },
  required: ['city']
}
const clock = { type: 'object', properties: { zone: { enum: ['UTC', 'CET'] } }, required: ['zone'] }
const tools = [
  { name: 'weather', parameters: weather },
  { name: 'clock', parameters: clock }
]
const schemas: Record<string, unknown> = { weather, clock }
const think: Thinking = { kind: 'tags', open: '<think>', close: '</think>', opened: false }

const vocabulary = await readVocabulary()
const service = createConstraintService({ vocabulary })
t.teardown(() => service.dispose())

function constraint(format: string, choice: string, parallel: boolean, thinking?: Thinking): ConstraintInput {
  return { type: 'tools', format, tools, choice, parallel, ...(thinking ? { thinking } : {}) }
}

function calls(format: ToolFormat, thinking: Thinking | null, text: string) {
  const parser = createAnswerParser({ format, thinking, tools })
  const events = [...parser.push(text), ...parser.end()]
  const found: Array<{ name: string; arguments: string }> = []
  for (const event of events) {
    if (event.type === 'call') found.push({ name: event.name, arguments: '' })
    else if (event.type === 'arguments') found[event.index]!.arguments += event.text
  }
  const content = events.flatMap(event => (event.type === 'content' ? [event.text] : [])).join('')
  return { found, content }
}

for (const format of Object.keys(TOOL_SYNTAXES) as ToolFormat[]) {
  const thinking: Thinking | undefined = format === 'harmony' ? { kind: 'channels' } : undefined
  t.test(`${format}: a required call is always one with valid arguments`, async t => {
    for (const [seed, choice] of ['required', 'required', 'clock', 'weather'].entries()) {
      const compiled = await service.compile(constraint(format, choice, false, thinking))
      const matcher = compiled.matcher()
      const { text, ended } = await walk(matcher, vocabulary, randomFrom(seed), {
        closeAfter: 20,
        most: 3000
      })
      matcher.free()
      if (!ended) continue
      const { found, content } = calls(format, thinking ?? null, text)
      if (!t.equal(found.length, 1, text)) continue
      t.equal(content, '')
      if (choice !== 'required') t.equal(found[0]!.name, choice)
      t.match(validateFinished(schemas[found[0]!.name], found[0]!.arguments), { ok: true }, text)
    }
  })
}

t.test('auto: free text, or a call; once a call has begun it has to be valid', async t => {
  const compiled = await service.compile(constraint('hermes', 'auto', true, think))
  const good = [
    'Just text, 1 < 2 and <tool.',
    '',
    '<think>maybe a <tool_call>?</think>\n\nNo.',
    '<tool_call>\n{"name": "clock", "arguments": {"zone": "UTC"}}\n</tool_call>',
    'First.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm", "days": 3}}\n</tool_call>\n<tool_call>\n{"name": "clock", "arguments": {"zone": "CET"}}\n</tool_call>'
  ]
  const bad = [
    '<tool_call>\n{"name": "nothing", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "clock", "arguments": {"zone": "EST"}}\n</tool_call>',
    '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm", "days": 30}}\n</tool_call>',
    'x <tool_call> in passing'
  ]
  for (const [texts, expected] of [
    [good, true],
    [bad, false]
  ] as const) {
    for (const text of texts) {
      const matcher = compiled.matcher()
      t.equal(await accepts(matcher, vocabulary, spell(vocabulary, text)), expected, text)
      matcher.free()
    }
  }
})

t.test('tags: every argument by its schema', async t => {
  const parameters = {
    type: 'object',
    properties: {
      path: { type: 'string', minLength: 1 },
      mode: { enum: ['read', 'write'] },
      line: { $ref: '#/$defs/line' },
      note: { type: 'string' }
    },
    required: ['path', 'line'],
    $defs: { line: { type: 'integer', minimum: 1 } }
  }
  const own = [{ name: 'edit', parameters, strict: true }]
  const compile = (format: string, choice: string, parallel = true) =>
    service.compile({ type: 'tools', format, tools: own, choice, parallel })
  const qwen = (inner: string) => `<tool_call>\n<function=edit>\n${inner}</function>\n</tool_call>`
  const tag = (key: string, value: string) => `<parameter=${key}>\n${value}\n</parameter>\n`
  const whole = tag('path', 'a<b>.html') + tag('mode', 'read') + tag('line', '12') + tag('note', 'x\n\ny')
  for (const [text, expected] of [
    [qwen(whole), true],
    [qwen(tag('path', 'a') + tag('line', '1')), true],
    [`${qwen(whole)}\n${qwen(whole)}`, true],
    [
      qwen('<parameter=path>a</parameter><parameter=line>1</parameter>'),
      false,
      'a limited text has its lines'
    ],
    [qwen(tag('path', '') + tag('line', '1')), false, 'minLength'],
    [qwen(tag('path', 'a')), false, 'required'],
    [qwen(tag('path', 'a') + tag('line', '0')), false, 'minimum'],
    [qwen(tag('path', 'a') + tag('mode', 'append') + tag('line', '1')), false, 'enum'],
    [qwen(whole + tag('other', '1')), false, 'not listed'],
    [`Well. ${qwen(whole)}`, false, 'text']
  ] as const) {
    const matcher = (await compile('qwen-coder', 'required')).matcher()
    t.equal(await accepts(matcher, vocabulary, spell(vocabulary, text)), expected, text)
    matcher.free()
  }
  for (const [format, text, expected] of [
    ['qwen-coder', `Well. ${qwen(whole)}\n${qwen(whole)}`, true],
    ['qwen-coder', `Well. ${qwen(whole).slice('<tool_call>\n'.length)}`, true],
    ['qwen-coder', 'Well. <tool_call> is a tag', false],
    [
      'glm',
      'Hm\n<tool_call>edit\n<arg_key>path</arg_key>\n<arg_value>a</arg_value>\n<arg_key>line</arg_key>\n<arg_value>1</arg_value>\n</tool_call>',
      true
    ],
    [
      'glm',
      '<tool_call>edit<arg_key>path</arg_key><arg_value>a</arg_value><arg_key>line</arg_key><arg_value>1</arg_value></tool_call>',
      true
    ],
    ['glm', '<tool_call>edit<arg_key>path</arg_key><arg_value>a</arg_value></tool_call>', false],
    [
      'minimax',
      '<minimax:tool_call>\n<invoke name="edit"><parameter name="path">a</parameter>\n<parameter name="line">1</parameter>\n</invoke>\n<invoke name="edit"><parameter name="path">b</parameter>\n<parameter name="line">2</parameter>\n</invoke>\n</minimax:tool_call>',
      true
    ],
    ['minimax', '<minimax:tool_call>\n<invoke name="edit"></invoke>\n</minimax:tool_call>', false],
    [
      'kimi',
      '<|tool_calls_section_begin|><|tool_call_begin|>functions.edit:0<|tool_call_argument_begin|>{"path": "a", "line": 1}<|tool_call_end|><|tool_calls_section_end|>',
      true
    ],
    [
      'kimi',
      '<|tool_calls_section_begin|><|tool_call_begin|>functions.edit:0<|tool_call_argument_begin|>{"path": "a"}<|tool_call_end|><|tool_calls_section_end|>',
      false
    ]
  ] as const) {
    const matcher = (await compile(format, 'auto')).matcher()
    t.equal(await accepts(matcher, vocabulary, spell(vocabulary, text)), expected, text)
    matcher.free()
  }
  // A tool of which nothing is known takes anything.
  const any = [{ name: 'x', parameters: { type: 'object' } }]
  const matcher = (
    await service.compile({
      type: 'tools',
      format: 'qwen-coder',
      tools: any,
      choice: 'required',
      parallel: false
    })
  ).matcher()
  const text = '<tool_call>\n<function=x>\n<parameter=k>\nv\n</parameter>\n</function>\n</tool_call>'
  t.ok(await accepts(matcher, vocabulary, spell(vocabulary, text)))
  matcher.free()
})

t.test('auto beside a schema: a document, or calls; no other text', async t => {
  const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }
  const otherwise = { type: 'json_schema', strict: true, schema } as const
  const call = '<tool_call>\n{"name": "clock", "arguments": {"zone": "UTC"}}\n</tool_call>'
  for (const [text, expected] of [
    ['{"a": 1}', true],
    ['<think>which?</think>\n{"a": 1}', true],
    [call, true],
    ['{"a": "one"}', false],
    ['Well: {"a": 1}', false],
    [`Well. ${call}`, false],
    ['', false]
  ] as const) {
    const input = { ...constraint('hermes', 'auto', true, think), otherwise } as ConstraintInput
    const matcher = (await service.compile(input)).matcher()
    t.equal(await accepts(matcher, vocabulary, spell(vocabulary, text)), expected, text)
    matcher.free()
  }
  const channels = { ...constraint('harmony', 'auto', true, { kind: 'channels' }), otherwise }
  for (const [text, expected] of [
    ['<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>{"a": 1}', true],
    ['<|channel|>final<|message|>no', false],
    ['<|channel|>commentary to=functions.clock <|constrain|>json<|message|>{"zone": "UTC"}', true]
  ] as const) {
    const matcher = (await service.compile(channels as ConstraintInput)).matcher()
    t.equal(await accepts(matcher, vocabulary, spell(vocabulary, text)), expected, text)
    matcher.free()
  }
})

t.test('a strict tool is refused for what cannot be held, others are not', async t => {
  const parameters = { type: 'object', properties: { a: { not: { type: 'string' } } } }
  const input = (strict: boolean) =>
    ({ ...constraint('hermes', 'auto', true), tools: [{ name: 'a', parameters, strict }] }) as ConstraintInput
  await t.rejects(service.compile(input(true)), {
    name: 'ConstraintError',
    param: 'tools/0/parameters/properties/a/not'
  })
  const unknown = { type: 'object', properties: { a: { type: 'string', hint: 'x' } } }
  const lax = {
    ...constraint('hermes', 'auto', true),
    tools: [{ name: 'a', parameters: unknown, strict: true }]
  }
  t.same((await service.compile(lax as ConstraintInput)).unenforced, [], 'what nobody knows does no harm')
  t.match(await service.compile(input(false)), { unenforced: ['tools/0/parameters/properties/a/not'] })
})

t.test('without parallel calls the answer ends with the first', async t => {
  const one = '<tool_call>\n{"name": "clock", "arguments": {"zone": "UTC"}}\n</tool_call>'
  for (const [parallel, choice, text, expected] of [
    [false, 'auto', `${one}\n${one}`, false],
    [true, 'auto', `${one}\n${one}`, true],
    [false, 'required', `${one}\n${one}`, false],
    [true, 'required', `${one}\n${one}`, true],
    [true, 'required', 'text', false],
    [true, 'weather', one, false]
  ] as const) {
    const matcher = (await service.compile(constraint('hermes', choice, parallel))).matcher()
    t.equal(
      await accepts(matcher, vocabulary, spell(vocabulary, text)),
      expected,
      `${choice}, parallel: ${parallel}`
    )
    matcher.free()
  }
})

t.test('the answer is constrained behind the thinking, whoever opened it', async t => {
  const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }
  const opened: Thinking = { ...think, opened: true }
  for (const [thinking, text, expected] of [
    [think, '<think>hm {</think>\n\n{"a": 1}', true],
    [think, '{"a": 1}', true],
    [think, 'hm</think>{"a": 1}', false],
    [opened, 'hm</think>{"a": 1}', true],
    [opened, 'hm', false],
    [think, '<think>hm</think> no', false]
  ] as const) {
    const matcher = (await service.compile({ type: 'json_schema', strict: true, schema, thinking })).matcher()
    t.equal(await accepts(matcher, vocabulary, spell(vocabulary, text)), expected, text)
    matcher.free()
  }
})

t.test('unusable tools are refused with the place', async t => {
  const broken = {
    ...constraint('hermes', 'auto', true),
    tools: [{ name: 'a', parameters: { type: 'nothing' } }]
  }
  await t.rejects(service.compile(broken as ConstraintInput), {
    name: 'ConstraintError',
    param: 'tools/0/parameters'
  })
  await t.rejects(service.compile(constraint('hermes', 'unknown', true)), {
    name: 'ConstraintError',
    param: 'tools'
  })
  await t.rejects(service.compile(constraint('cobol', 'auto', true)), { name: 'ConstraintError' })
})
