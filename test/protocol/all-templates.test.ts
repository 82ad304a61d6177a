/** The chat templates of llama.cpp's source, as node-llama-cpp's package carries them. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import t from 'tap'
import { ApiError } from '../../src/protocol/errors.js'
import { ChatTemplate } from '../../src/protocol/template/chat-template.js'
import type { TemplateMessage, TemplateTool } from '../../src/protocol/template/types.js'

/** Templates that the Jinja library cannot run (docs/tool-calls.md). */
const exceptions = ['ByteDance-Seed-OSS', 'fireworks-ai-llama-3-firefunction-v2', 'tencent-Hy3']

const tools: TemplateTool[] = [
  {
    type: 'function',
    function: {
      name: 'weather',
      description: 'd',
      parameters: { type: 'object', properties: { city: { type: 'string' } } }
    }
  }
]
const system: TemplateMessage = { role: 'system', content: 'Be brief.' }
const user: TemplateMessage = { role: 'user', content: 'Hello there' }
const reply: TemplateMessage = { role: 'assistant', content: 'Hi!' }
const call: TemplateMessage = {
  role: 'assistant',
  content: '',
  tool_calls: [
    { id: 'abcdefghi', type: 'function', function: { name: 'weather', arguments: { city: 'Oslo' } } }
  ]
}
const result: TemplateMessage = {
  role: 'tool',
  tool_call_id: 'abcdefghi',
  name: 'weather',
  content: 'Rain99'
}

function readTemplates(): Map<string, string> | null {
  const require = createRequire(import.meta.url)
  const root = path.dirname(path.dirname(require.resolve('node-llama-cpp')))
  const bundle = path.join(root, 'llama', 'gitRelease.bundle')
  if (!existsSync(bundle)) return null
  const clone = path.join(t.testdir(), 'llama.git')
  const git = (...args: string[]) =>
    execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    git('clone', '--quiet', '--bare', bundle, clone)
  } catch {
    return null
  }
  const listed = git('-C', clone, 'ls-tree', '-r', '--name-only', 'HEAD', 'models/templates').split('\n')
  const files = listed.filter(file => file.endsWith('.jinja'))
  return new Map(files.map(file => [path.basename(file, '.jinja'), git('-C', clone, 'show', `HEAD:${file}`)]))
}

const templates = readTemplates()

t.test(
  'all but the known ones render a chat, and tools with calls and results',
  { skip: !templates },
  async t => {
    const failed: string[] = []
    for (const [name, text] of templates ?? []) {
      try {
        const template = new ChatTemplate({ chatTemplate: text, bosText: '<s>', eosText: '</s>' })
        const chat = template.render({ messages: [system, user, reply, user], tools: [], variables: {} }).text
        const using = template.render({ messages: [system, user, call, result], tools, variables: {} }).text
        for (const part of ['Be brief.', 'Hello there', 'Hi!']) t.ok(chat.includes(part), `${name}: ${part}`)
        for (const part of ['weather', 'Oslo', 'Rain99']) t.ok(using.includes(part), `${name}: ${part}`)
      } catch (error) {
        t.ok(error instanceof ApiError && error.code === 'template_error', `${name}: ${error}`)
        failed.push(name)
      }
    }
    t.strictSame(failed, exceptions)
  }
)
