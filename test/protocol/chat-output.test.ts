import t from 'tap'
import type { RequestEvent } from '../../src/engine/messages.js'
import { AnswerReader } from '../../src/protocol/answer/reader.js'
import { ApiError } from '../../src/protocol/errors.js'
import { ChatAnswer } from '../../src/protocol/openai/chat-answer.js'
import { ChatStreamEncoder } from '../../src/protocol/openai/chat-stream.js'
import type { AnswerOptions } from '../../src/protocol/tools/parser.js'
import { violations } from '../support/openai-schema.js'

const head = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'm"odel', systemFingerprint: 'fp_1' }
const id = 7
const logprobs = [
  { token: 5, bytes: [0xc3], logprob: -0.25, top: [{ token: 5, bytes: [0xc3], logprob: -0.25 }] },
  { token: 6, bytes: [0xa9], logprob: -Infinity, top: [] }
]
const timings = { queueMs: 0, prefillMs: 0, firstTokenMs: 0, totalMs: 0 }
const usage = { promptTokens: 10, completionTokens: 4, cached: { resident: 3, ram: 2, disk: 1 } }

const events: RequestEvent[] = [
  { type: 'verdict', id, verdict: { kind: 'admitted', promptTokens: 10 } },
  { type: 'started', id, cached: usage.cached },
  { type: 'text', id, choice: 0, text: 'He said "', tokens: 1 },
  { type: 'text', id, choice: 1, text: '', tokens: 1 },
  { type: 'text', id, choice: 1, text: 'é\n\u2028', tokens: 1, logprobs },
  { type: 'finish', id, choice: 1, reason: 'length', stop: null },
  { type: 'text', id, choice: 0, text: 'hi"', tokens: 1 },
  { type: 'finish', id, choice: 0, reason: 'stop', stop: '.' },
  { type: 'end', id, usage, timings }
]

const plain = { demanded: null, legacyFunctions: false, logprobs: false }
const reader = (choices: number, options: Partial<AnswerOptions> = {}) =>
  new AnswerReader({ choices, format: null, thinking: null, ...options })

const expectedUsage = {
  prompt_tokens: 10,
  completion_tokens: 4,
  total_tokens: 14,
  prompt_tokens_details: { cached_tokens: 6 },
  completion_tokens_details: { reasoning_tokens: 0 },
  octavo_cache: { resident: 3, ram: 2, disk: 1, miss: null }
}

function chunks(text: string): Array<Record<string, unknown>> {
  const parts = text.split('\n\n')
  t.equal(parts.pop(), '', 'ends with an empty line')
  return parts
    .map(part => part.replace(/^data: /, ''))
    .map(part => (part === '[DONE]' ? { done: true } : JSON.parse(part)))
}

t.test('a whole answer', async t => {
  const answer = new ChatAnswer(head, reader(2), { ...plain, logprobs: true })
  for (const event of events) answer.add(event)
  const completion = answer.finish()
  t.strictSame(violations('CreateChatCompletionResponse', completion), [])
  t.strictSame(completion, {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'm"odel',
    system_fingerprint: 'fp_1',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'He said "hi"', refusal: null },
        logprobs: { content: [], refusal: null },
        finish_reason: 'stop'
      },
      {
        index: 1,
        message: { role: 'assistant', content: 'é\n\u2028', refusal: null },
        logprobs: {
          content: [
            {
              token: '\ufffd',
              logprob: -0.25,
              bytes: [0xc3],
              top_logprobs: [{ token: '\ufffd', logprob: -0.25, bytes: [0xc3] }]
            },
            { token: '\ufffd', logprob: -9999, bytes: [0xa9], top_logprobs: [] }
          ],
          refusal: null
        },
        finish_reason: 'length'
      }
    ],
    usage: expectedUsage
  })
})

t.test('without a fingerprint the field is left out', async t => {
  const answer = new ChatAnswer({ ...head, systemFingerprint: null }, reader(1), plain)
  t.notOk('system_fingerprint' in answer.finish())
  t.strictSame(violations('CreateChatCompletionResponse', answer.finish()), [])
})

t.test('a streamed answer', async t => {
  const encoder = new ChatStreamEncoder(head, reader(2), { ...plain, includeUsage: false, logprobs: true })
  const written = chunks(events.map(event => encoder.event(event)).join(''))
  t.strictSame(written.pop(), { done: true })
  for (const chunk of written) {
    t.strictSame(violations('CreateChatCompletionStreamResponse', chunk), [])
    t.match(chunk, {
      ...head,
      systemFingerprint: undefined,
      system_fingerprint: 'fp_1',
      object: 'chat.completion.chunk'
    })
    t.notOk('usage' in chunk)
  }
  const role = { role: 'assistant', content: '', refusal: null }
  t.match(
    written.map(chunk => (chunk.choices as unknown[])[0]),
    [
      { index: 0, delta: role, finish_reason: null },
      { index: 0, delta: { content: 'He said "' }, finish_reason: null },
      { index: 1, delta: role, finish_reason: null },
      {
        index: 1,
        delta: { content: 'é\n\u2028' },
        logprobs: { content: [{ logprob: -0.25 }, { logprob: -9999 }] }
      },
      { index: 1, delta: {}, finish_reason: 'length' },
      { index: 0, delta: { content: 'hi"' } },
      { index: 0, delta: {}, finish_reason: 'stop' }
    ]
  )
  t.equal(written.length, 7)
})

t.test('usage comes in a chunk of its own, when asked for', async t => {
  const encoder = new ChatStreamEncoder(head, reader(2), { ...plain, includeUsage: true, logprobs: false })
  const written = chunks(events.map(event => encoder.event(event)).join(''))
  t.strictSame(written.pop(), { done: true })
  t.match(written.pop(), { choices: [], usage: expectedUsage, id: 'chatcmpl-1' })
  for (const chunk of written) {
    t.equal(chunk.usage, null)
    t.strictSame(violations('CreateChatCompletionStreamResponse', chunk), [])
  }
})

t.test('an empty answer still has its role and its reason', async t => {
  const encoder = new ChatStreamEncoder(head, reader(1), { ...plain, includeUsage: false, logprobs: false })
  const written = chunks(encoder.event({ type: 'finish', id, choice: 0, reason: 'stop', stop: null }))
  t.match(written, [
    { choices: [{ delta: { role: 'assistant' } }] },
    { choices: [{ delta: {}, finish_reason: 'stop' }] }
  ])
})

t.test('a failure is an error event and a sign of life a comment', async t => {
  const encoder = new ChatStreamEncoder(head, reader(1), { ...plain, includeUsage: false, logprobs: false })
  const [event] = chunks(encoder.failure(new ApiError('engine_crashed')))
  t.strictSame(violations('ErrorResponse', event), [])
  t.equal(encoder.keepAlive(), ': keep-alive\n\n')
})
