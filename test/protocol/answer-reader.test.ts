import t from 'tap'
import type { TokenLogprob } from '../../src/engine/messages.js'
import { ContentLogprobs } from '../../src/protocol/answer/content-logprobs.js'
import { AnswerReader, type ReadChoice, type ReadEvent } from '../../src/protocol/answer/reader.js'

const thinking = { kind: 'tags', open: '<think>', close: '</think>', opened: false } as const
const id = 1

function read(reader: AnswerReader, tokens: string[], reason: 'stop' | 'length' = 'stop'): ReadEvent[] {
  const events = tokens.flatMap(text => reader.text({ type: 'text', id, choice: 0, text, tokens: 1 }))
  return [...events, ...reader.finish({ type: 'finish', id, choice: 0, reason, stop: null })]
}

t.test('reads a choice to its end, and tells once', async t => {
  const finished: ReadChoice[] = []
  const onFinish = (choice: ReadChoice) => finished.push(choice)
  const reader = new AnswerReader({ choices: 1, format: 'hermes', thinking, onFinish })
  const text = '<think>Hm.</think>\n\nSo.\n<tool_call>{"name": "a", "arguments": {"x": 1}}</tool_call>'
  read(reader, [...text])
  t.match(finished, [
    {
      raw: text,
      reasoning: 'Hm.',
      content: 'So.',
      calls: [{ name: 'a', arguments: '{"x": 1}' }],
      reason: 'stop'
    }
  ])
  t.equal(finished.length, 1)
})

t.test('counts the tokens of thinking, markers included, and no others', async t => {
  const reader = new AnswerReader({ choices: 1, format: null, thinking })
  read(reader, ['<think>', 'a', 'b', '</think>', 'c', 'd', 'e'])
  t.equal(reader.reasoningTokens, 3)
  const endless = new AnswerReader({ choices: 1, format: null, thinking })
  read(endless, ['<think>', 'a', 'b', '</thi'], 'length')
  t.equal(endless.reasoningTokens, 4)
  const none = new AnswerReader({ choices: 1, format: null, thinking: null })
  read(none, ['<think>', 'a'])
  t.equal(none.reasoningTokens, 0)
})

t.test('half a marker behind a call is not said, when the answer is cut off', async t => {
  const reader = new AnswerReader({ choices: 1, format: 'hermes', thinking: null })
  read(reader, ['<tool_call>{"name": "a", "arguments": {}}</tool_call>', '\n<tool_'], 'length')
  t.match(reader.choice(0), { content: '', calls: [{ name: 'a' }], raw: /<\/tool_call>\n$/ })
  const text = new AnswerReader({ choices: 1, format: 'hermes', thinking: null })
  read(text, ['I like <tool_'], 'length')
  t.equal(text.choice(0).content, 'I like <tool_')
})

t.test('logprobs: the shortest run of tokens that holds the text', async t => {
  const token = (text: string): TokenLogprob => ({
    token: text.length,
    bytes: [...Buffer.from(text)],
    logprob: -1,
    top: []
  })
  const logprobs = new ContentLogprobs()
  logprobs.add(['<th', 'ink>', 'a', '</think>', '\n\nRa', 'in', ' in', ' P'].map(token))
  const textOf = (tokens: TokenLogprob[]) => tokens.map(({ bytes }) => Buffer.from(bytes).toString())
  t.strictSame(textOf(logprobs.take('Rain')), ['\n\nRa', 'in'])
  t.strictSame(textOf(logprobs.take(' in P')), [' in', ' P'])
  t.strictSame(logprobs.take('x'), [])
})
