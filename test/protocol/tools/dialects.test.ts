import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { ChatTemplate } from '../../../src/protocol/template/chat-template.js'
import type { TemplateMessage, TemplateTool } from '../../../src/protocol/template/types.js'
import { createAnswerParser } from '../../../src/protocol/tools/parser.js'
import { packageRoot } from '../../../src/root.js'

const parameters = {
  type: 'object',
  properties: {
    path: { type: 'string' },
    text: { $ref: '#/$defs/text' },
    line: { type: 'integer' },
    flags: { type: 'array', items: { type: 'string' } },
    options: { type: 'object' },
    dry: { type: 'boolean' },
    note: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    digits: { type: 'string' }
  },
  $defs: { text: { type: 'string' } }
}
const tools: TemplateTool[] = [
  { type: 'function', function: { name: 'edit_file', description: 'Edits a file', parameters } },
  { type: 'function', function: { name: 'list', description: 'Lists files' } }
]
const edit = {
  path: 'src/a.html',
  text: '<p class="x">\n  one & two\n</p>\n\nend',
  line: 12,
  flags: ['a', 'b "c"'],
  options: { deep: { n: 1.5 } },
  dry: true,
  digits: '007'
}
const user: TemplateMessage = { role: 'user', content: 'Edit it.' }
const call = (id: string, name: string, args: unknown) => ({
  id,
  type: 'function' as const,
  function: { name, arguments: args }
})
const turn: TemplateMessage = {
  role: 'assistant',
  content: 'On it.',
  tool_calls: [call('functions.edit_file:0', 'edit_file', edit), call('functions.list:1', 'list', {})]
}

function template(name: string): ChatTemplate {
  const file = path.join(packageRoot(), 'test/fixtures/templates', `${name}.jinja`)
  return new ChatTemplate({ chatTemplate: readFileSync(file, 'utf8'), bosText: '', eosText: '</s>' })
}

/** How the template writes the turn: what stands between the prompt for it and what comes next. */
function written(of: ChatTemplate, ends: string): string {
  const render = (messages: TemplateMessage[]) => of.render({ messages, tools, variables: {} }).text
  const prompt = render([user])
  const results = ['functions.edit_file:0', 'functions.list:1'].map(
    (tool_call_id): TemplateMessage => ({ role: 'tool', tool_call_id, content: 'ok' })
  )
  const whole = render([user, turn, ...results])
  let same = 0
  while (same < prompt.length && prompt[same] === whole[same]) same++
  return whole.slice(same, whole.indexOf(ends, same))
}

function read(format: ChatTemplate['toolFormat'], pieces: string[]) {
  const typed = tools.map(({ function: { name, parameters } }) => ({ name, parameters }))
  const parser = createAnswerParser({ format, thinking: null, tools: typed })
  const events = [...pieces.flatMap(piece => parser.push(piece)), ...parser.end()]
  const calls: Array<{ id: string; name: string; arguments: string }> = []
  let deltas = 0
  for (const event of events) {
    if (event.type === 'call') calls.push({ id: event.id, name: event.name, arguments: '' })
    else if (event.type === 'arguments') {
      deltas++
      calls[event.index]!.arguments += event.text
    } else if (event.type === 'callEnd') t.ok(event.complete)
  }
  const content = events.map(event => (event.type === 'content' ? event.text : '')).join('')
  return { calls, content, deltas }
}

for (const [name, format, ends] of [
  ['Qwen3-Coder', 'qwen-coder', '<|im_end|>'],
  ['GLM-4.6', 'glm', '<|observation|>'],
  ['moonshotai-Kimi-K2', 'kimi', '<|im_end|>'],
  ['MiniMax-M2', 'minimax', '[e~[']
] as const) {
  t.test(`${name}: what the template writes is read as what it was given`, async t => {
    const of = template(name)
    t.equal(of.toolFormat, format)
    const text = written(of, ends).replace('<think></think>', '')
    t.match(text, 'edit_file')
    for (const pieces of [[text], [...text], text.match(/[\s\S]{1,7}/g) as string[]]) {
      const { calls, content } = read(format, pieces)
      t.equal(content.trim(), 'On it.')
      t.strictSame(
        calls.map(each => [each.name, JSON.parse(each.arguments)]),
        [
          ['edit_file', edit],
          ['list', {}]
        ]
      )
      if (format === 'kimi') {
        t.strictSame(
          calls.map(each => each.id),
          ['functions.edit_file:0', 'functions.list:1']
        )
      }
    }
    t.ok(read(format, [...text]).deltas > 10, 'texts come as they are written')
  })
}
