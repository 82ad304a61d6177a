import t from 'tap'
import type { AnswerReader } from '../../src/protocol/answer/reader.js'
import { sameTurn } from '../../src/protocol/answer/same-turn.js'
import { TurnMemory } from '../../src/protocol/answer/turn-memory.js'
import { ChatTemplate } from '../../src/protocol/template/chat-template.js'
import { promptSegments } from '../../src/protocol/template/segments.js'
import type { TemplateInput, TemplateMessage } from '../../src/protocol/template/types.js'

const hermes = `{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content | trim }}
{%- for c in m.tool_calls or [] %}
<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is false %}<think>

</think>

{% endif %}{% endif %}`

const source = { chatTemplate: hermes, bosText: '', eosText: '' }
const user: TemplateMessage = { role: 'user', content: 'Weather?' }
const call = (args: object): TemplateMessage => ({
  role: 'assistant',
  content: '',
  tool_calls: [{ id: 'x', type: 'function', function: { name: 'weather', arguments: args } }]
})
const result: TemplateMessage = { role: 'tool', tool_call_id: 'x', content: 'Rain' }

type Choice = ReturnType<AnswerReader['choice']>
function choice(raw: string, more: Partial<Choice>): Choice {
  return { raw, content: '', reasoning: '', calls: [], reason: 'stop', stop: null, ...more }
}

const called = (raw: string, args: string) =>
  choice(raw, { calls: [{ id: 'other', name: 'weather', arguments: args, complete: true }] })

function input(messages: TemplateMessage[], variables = {}): TemplateInput {
  return { messages, tools: [], variables }
}

/** A conversation of two requests: what the model wrote to the first stands in the prompt of the second. */
function again(template: ChatTemplate, written: Choice, turn: TemplateMessage, variables = {}) {
  const memory = new TurnMemory()
  const first = memory.recall('salt', [user])
  const prompt = template.render(input(first.messages, variables)).text
  memory.remember(first.key, prompt, written)
  const second = memory.recall('salt', [user, turn, result])
  const rendered = template.render(input(second.messages, variables))
  return { rendered, begins: rendered.text.startsWith(prompt + written.raw) }
}

t.test('a call comes back with the blanks that the model wrote', async t => {
  const raw = '<tool_call>\n{"name":"weather",  "arguments": {"b":1,"a":[ 1.0 ]}}\n</tool_call>'
  const { rendered, begins } = again(
    new ChatTemplate(source),
    called(raw, '{"b":1,"a":[ 1.0 ]}'),
    call({ b: 1, a: [1] })
  )
  t.ok(begins)
  t.match(rendered, { rewritten: 0 })
  t.ok(rendered.text.endsWith('<|im_end|>\n<|im_start|>tool\nRain<|im_end|>\n<|im_start|>assistant\n'))
  for (const anchor of rendered.anchors) t.match(rendered.text.slice(0, anchor), /<\|im_end\|>\n$/)
  t.ok(rendered.anchors.includes(rendered.text.indexOf('<|im_start|>assistant\n', raw.length + 40)))
})

t.test('a turn whose tokens are remembered is given as these', async t => {
  const raw = '<tool_call>\n{"name":"weather",  "arguments": {"a":1}}\n</tool_call>'
  const written = { ...called(raw, '{"a":1}'), tokens: [7, 8, 9] }
  const { rendered } = again(new ChatTemplate(source), written, call({ a: 1 }))
  const segments = promptSegments(rendered, 'So')
  t.match(segments, [
    { type: 'text', text: /<\|im_start\|>assistant\n$/, addSpecial: true },
    { type: 'tokens', tokens: [7, 8, 9] },
    { type: 'text', text: /^<\|im_end\|>\n<\|im_start\|>tool[\s\S]*assistant\nSo$/, addSpecial: false }
  ])
  t.equal(segments.length, 3)
  const texts = segments.map(segment => (segment.type === 'text' ? segment.text : raw))
  t.equal(texts.join(''), `${rendered.text}So`)
  // Anchors are where they were.
  let at = 0
  const anchors: number[] = []
  for (const [i, segment] of segments.entries()) {
    if (segment.type === 'text') for (const anchor of segment.anchors ?? []) anchors.push(at + anchor)
    at += (texts[i] as string).length
  }
  t.strictSame(anchors, rendered.anchors)
  const unknown = again(new ChatTemplate(source), called(raw, '{"a":1}'), call({ a: 1 }))
  t.equal(promptSegments(unknown.rendered).length, 1)
})

t.test('another message than the one that was written is rendered as it is', async t => {
  const raw = '<tool_call>{"name":"weather","arguments":{"a":1}}</tool_call>'
  const other = again(new ChatTemplate(source), called(raw, '{"a":1}'), call({ a: 2 }))
  t.notOk(other.begins)
  t.match(other.rendered.text, '{"a": 2}')
  const salted = new TurnMemory()
  const { key } = salted.recall('one', [user])
  salted.remember(key, 'prompt', called(raw, '{"a":1}'))
  const turn = call({ a: 1 })
  t.notOk(salted.recall('two', [user, turn]).messages[1]?.written, 'nor is it found with another salt')
  t.notOk(salted.recall('one', [{ ...user, content: 'Else?' }, turn]).messages[1]?.written)
  t.ok(salted.recall('one', [user, turn]).messages[1]?.written)
})

t.test('blanks at the edges that a template trims', async t => {
  const template = new ChatTemplate(source)
  const written = choice('  Rain, I think.\n', { content: '  Rain, I think.\n' })
  t.ok(again(template, written, { role: 'assistant', content: 'Rain, I think.' }).begins)
})

t.test('what the generation prompt holds belongs to the turn', async t => {
  const template = new ChatTemplate(source)
  const written = choice('Rain.', { content: 'Rain.' })
  const turn: TemplateMessage = { role: 'assistant', content: 'Rain.' }
  t.ok(again(template, written, turn, { enable_thinking: false }).begins)
})

t.test('a template that drops thinking is obeyed, one that keeps it gets it back', async t => {
  const raw = '<think>Hm.</think>Rain.'
  const written = choice(raw, { content: 'Rain.', reasoning: 'Hm.' })
  const turn: TemplateMessage = { role: 'assistant', content: 'Rain.' }
  const dropped = again(new ChatTemplate(source), written, turn)
  t.notOk(dropped.begins)
  t.equal(dropped.rendered.rewritten, 1)
  const keeps = { ...source, chatTemplate: hermes.replace(' and loop.last', '') }
  t.ok(again(new ChatTemplate(keeps), written, turn).begins)
})

t.test('text in a message that looks like a placeholder does no harm', async t => {
  const template = new ChatTemplate(source)
  const tricky: TemplateMessage = { role: 'user', content: 'octavo-turn-1-of-3- octavo-turn-2-of-3-' }
  const written = { lead: 'assistant\n', text: 'Rain.\n', tokens: null }
  const messages = [tricky, { role: 'assistant' as const, content: 'Rain.', written }, user]
  const plain = template.render(input(messages.map(({ role, content }) => ({ role, content }))))
  t.equal(template.render(input(messages)).text, plain.text)
})

t.test('a model without tools in its template: described, calls written as text', async t => {
  const template = new ChatTemplate({ chatTemplate: null, bosText: '', eosText: '' })
  const tool = { type: 'function' as const, function: { name: 'weather', parameters: { type: 'object' } } }
  const messages = [user, call({ a: 1 }), result, { ...result, content: 'Sun' }, user]
  const { text, toolFormat } = template.render({ messages, tools: [tool], variables: {} })
  t.equal(toolFormat, 'generic')
  t.match(text, /^<\|im_start\|>system\n[\s\S]*"name":"weather"/)
  t.match(text, '<tool_call>\n{"name": "weather", "arguments": {"a":1}}\n</tool_call><|im_end|>')
  t.match(
    text,
    'user\n<tool_response>\nRain\n</tool_response>\n<tool_response>\nSun\n</tool_response>\n\nWeather?<|im_end|>'
  )
})

t.test('a memory is bounded; what was used last stays', async t => {
  const memory = new TurnMemory(5000)
  const say = (text: string): TemplateMessage => ({ role: 'assistant', content: text })
  const { key } = memory.recall('', [user])
  const known = (text: string) => memory.recall('', [user, say(text)]).messages[1]?.written !== undefined
  memory.remember(key, 'prompt', choice('first', { content: 'first' }))
  for (let i = 0; i < 100; i += 1) {
    memory.remember(key, 'prompt', choice(`turn ${i}`, { content: `turn ${i}` }))
    t.ok(known('first') && known(`turn ${i}`))
  }
  t.notOk(known('turn 0'))
})

t.test('the same turn', async t => {
  const options = { format: 'hermes', thinking: null } as const
  const one = 'Hi <tool_call>{"name":"a","arguments":{"x":1,"y":2}}</tool_call>'
  t.ok(sameTurn(one, 'Hi\n<tool_call>\n{"name": "a", "arguments": {"x": 1, "y": 2}}\n</tool_call>', options))
  t.notOk(sameTurn(one, one.replace('"x":1,"y":2', '"y":2,"x":1'), options), 'order counts')
  t.notOk(sameTurn(one, one.replace('Hi', 'Ho'), options))
})
