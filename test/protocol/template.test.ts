import { readFileSync } from 'node:fs'
import path from 'node:path'
import { readGgufFileInfo } from 'node-llama-cpp'
import t, { type Test } from 'tap'
import { ApiError } from '../../src/protocol/errors.js'
import { ChatTemplate } from '../../src/protocol/template/chat-template.js'
import { mergeSystem } from '../../src/protocol/template/system.js'
import type { TemplateInput, TemplateMessage, TemplateTool } from '../../src/protocol/template/types.js'
import { packageRoot } from '../../src/root.js'

const root = packageRoot()

function fixture(name: string): ChatTemplate {
  const file = path.join(root, `test/fixtures/templates/${name}.jinja`)
  return new ChatTemplate({ chatTemplate: readFileSync(file, 'utf8'), bosText: '<s>', eosText: '</s>' })
}

const system: TemplateMessage = { role: 'system', content: 'Be brief.' }
const user: TemplateMessage = { role: 'user', content: 'Hello' }
const reply: TemplateMessage = { role: 'assistant', content: 'Hi!' }
const next: TemplateMessage = { role: 'user', content: 'And now?' }

const tool: TemplateTool = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'Tells the weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } } }
  }
}
const call: TemplateMessage = {
  role: 'assistant',
  content: '',
  tool_calls: [
    { id: 'abcdefghi', type: 'function', function: { name: 'weather', arguments: { city: 'Oslo' } } }
  ]
}
const result: TemplateMessage = { role: 'tool', tool_call_id: 'abcdefghi', name: 'weather', content: 'Rain' }

function input(messages: TemplateMessage[], more: Partial<TemplateInput> = {}): TemplateInput {
  return { messages, tools: [], variables: {}, ...more }
}

function refusal(run: () => unknown): ApiError | undefined {
  try {
    run()
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
  return undefined
}

/** What precedes each anchor. */
function heads(template: ChatTemplate, given: TemplateInput): string[] {
  const { text, anchors } = template.render(given)
  return anchors.map(anchor => text.slice(0, anchor))
}

t.test("the embedded model's own template", async t => {
  const file = path.join(root, 'models/MiniMind2-Small-26M-q8_0.gguf')
  const { metadata } = await readGgufFileInfo(file, { readTensorInfo: false, logWarnings: false })
  const { chat_template: chatTemplate } = metadata.tokenizer as { chat_template?: string }
  t.ok(chatTemplate)
  const template = new ChatTemplate({
    chatTemplate: chatTemplate as string,
    bosText: '<|im_start|>',
    eosText: '<|im_end|>'
  })

  t.test('renders a chat and finds its anchors', async t => {
    const given = input([system, user, reply, next])
    t.equal(
      template.render(given).text,
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n' +
        '<|im_start|>assistant\nHi!<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n'
    )
    t.strictSame(
      heads(template, given).map(head => head.slice(-24)),
      ['Be brief.<|im_end|>\n', 'Hello<|im_end|>\n', 'And now?<|im_end|>\n'].map(end =>
        template
          .render(given)
          .text.slice(0, template.render(given).text.indexOf(end) + end.length)
          .slice(-24)
      )
    )
  })

  t.test('passes tools, calls and results on', async t => {
    const { text, anchors } = template.render(input([system, user, call, result], { tools: [tool] }))
    t.match(text, '{"name": "weather", "arguments": {"city": "Oslo"}}')
    t.match(text, '<tools>\n{"type": "function", "function": {"name": "weather"')
    t.match(text, '<tool_response>\nRain\n</tool_response><|im_end|>\n<|im_start|>assistant\n')
    t.equal(anchors.length, 3)
  })

  t.test('passes variables on, but none that would replace its own', async t => {
    const variables = {
      enable_thinking: false,
      messages: [],
      add_generation_prompt: false,
      bos_token: 'x',
      tools: [1]
    }
    const { text } = template.render(input([user], { variables }))
    t.match(text, /Hello[\s\S]*<think>\n\n<\/think>\n\n$/)
    t.notMatch(text, '<tools>')
  })
})

t.test('a model without a template gets ChatML', async t => {
  const template = new ChatTemplate({ chatTemplate: null, bosText: '<s>', eosText: '' })
  t.strictSame(template.render(input([system, user])), {
    text: '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n',
    addSpecial: true,
    anchors: [39, 72],
    toolFormat: 'generic',
    thinking: null,
    rewritten: 0,
    drawn: []
  })
})

t.test('BOS: the tokenizer adds none where the template has one', async t => {
  t.equal(fixture('meta-llama-Llama-3.1-8B-Instruct').render(input([user])).addSpecial, false)
  t.equal(fixture('Qwen-Qwen3-0.6B').render(input([user])).addSpecial, true)
})

t.test('a template that refuses the system role gets it in the first user turn', async t => {
  const template = fixture('google-gemma-2-2b-it')
  t.equal(template.traits.systemRole, 'merge')
  const { text } = template.render(input([system, user]))
  t.equal(text, '<s><start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n<start_of_turn>model\n')
})

t.test('a template that throws is a refusal with its message', async t => {
  const template = fixture('google-gemma-2-2b-it')
  const error = refusal(() => template.render(input([user, next])))
  t.match(error, { code: 'template_error', status: 400, message: /must alternate/ })
})

t.test('a template that needs a value for tools gets one', async t => {
  const template = fixture('meetkai-functionary-medium-v3.1')
  t.strictSame(template.traits.noTools, [])
  t.match(template.render(input([system, user])).text, 'Hello')
})

t.test('arguments as JSON text where the template wants them so', async t => {
  const template = fixture('meetkai-functionary-medium-v3.2')
  t.equal(template.traits.toolArguments, 'text')
  t.match(template.render(input([user, call, result], { tools: [tool] })).text, '{"city":"Oslo"}')
})

t.test('variables that clash with the library are a refusal, not a crash', async t => {
  const template = fixture('Qwen-Qwen3-0.6B')
  const render = (variables: Record<string, unknown>) => () => template.render(input([user], { variables }))
  t.match(refusal(render({ raise_exception: 1 })), { code: 'template_error' })
  t.match(render({ enable_thinking: false })().text, '<think>\n\n</think>')
})

t.test('anchors are prefixes that the next turn repeats', async t => {
  const names = ['Qwen-Qwen3-0.6B', 'meta-llama-Llama-3.1-8B-Instruct', 'llama-cpp-deepseek-r1']
  for (const name of names) await repeats(t, fixture(name), name)

  async function repeats(t: Test, template: ChatTemplate, name: string): Promise<void> {
    const first = template.render(input([system, user]))
    const second = template.render(input([system, user, reply, next]))
    t.equal(first.anchors.length, 2, `${name}: after the system part and the user turn`)
    for (const anchor of first.anchors) {
      t.equal(second.text.slice(0, anchor), first.text.slice(0, anchor), `${name} at ${anchor}`)
      t.ok(second.anchors.includes(anchor), `${name} has ${anchor} again`)
    }
  }
})

t.test('anchors of a long conversation cost a bounded amount of rendering', async t => {
  const template = new ChatTemplate({ chatTemplate: null, bosText: '', eosText: '' })
  const turn = [{ ...user, content: 'word '.repeat(1000) }, reply]
  const messages = [system, ...Array.from({ length: 200 }, () => turn).flat()]
  const { anchors, text } = template.render(input(messages))
  t.equal(text.slice(0, anchors[0]), '<|im_start|>system\nBe brief.<|im_end|>\n')
  t.ok(anchors.length >= 2 && anchors.length < 5, `${anchors.length} anchors`)
})

t.test('merged system texts', async t => {
  const user2 = { role: 'user' as const, content: 'b' }
  t.strictSame(mergeSystem([system, system, user]), [
    { role: 'user', content: 'Be brief.\n\nBe brief.\n\nHello' }
  ])
  t.strictSame(mergeSystem([user, reply, system, user2]), [
    user,
    reply,
    { role: 'user', content: 'Be brief.\n\nb' }
  ])
  t.strictSame(mergeSystem([user, system]), [user, { role: 'user', content: 'Be brief.' }])
})
