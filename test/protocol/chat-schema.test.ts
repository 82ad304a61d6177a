import fc from 'fast-check'
import t from 'tap'
import { ChatRequest } from '../../src/protocol/openai/schema/chat.js'
import { bodyValidator } from '../support/body-validator.js'
import { fullBody, type Json, junk, paths, replaced } from '../support/chat-bodies.js'
import { violations } from '../support/openai-schema.js'

const issues = bodyValidator(ChatRequest)

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
  t.strictSame(violations('CreateChatCompletionRequest', fullBody), [])
  t.strictSame(issues(fullBody), [])
  for (const [field, forms] of otherForms) {
    for (const form of forms) {
      const body = { ...fullBody, [field]: form }
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

t.test('broken copies: what the specification rejects we reject, and nothing else', async t => {
  const places = paths(fullBody).filter(path => path.length > 0)
  fc.assert(
    fc.property(fc.constantFrom(...places), junk, (place, value) => {
      if (looser.has(String(place[0])) || unchecked.test(place.join('.'))) return
      const body = replaced(fullBody, place, value)
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
  t.pass('no difference found')
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
