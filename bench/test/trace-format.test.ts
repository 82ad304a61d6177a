import t from 'tap'
import { Prompts } from '../support/prompts.js'
import { parseTrace, replayPlan, tracePrompt } from '../support/trace-format.js'

const text = [
  { timestamp: 0, input_length: 1024, output_length: 160, hash_ids: [0, 1] },
  { timestamp: 3000, input_length: 1300, output_length: 3, hash_ids: [0, 1, 2] },
  { timestamp: 6000, input_length: 700, output_length: 50, hash_ids: [0, 3] },
  { timestamp: 9000, input_length: 512, output_length: 50, hash_ids: [9] }
]
  .map(line => JSON.stringify(line))
  .join('\n')

t.test('a slice is scaled in length and rate', async t => {
  const plan = replayPlan(parseTrace(`${text}\n`), { skip: 1, requests: 3, scale: 16, rate: 0.5 })
  t.same(
    plan.map(({ atMs, inputTokens, outputTokens }) => [atMs, inputTokens, outputTokens]),
    [
      [0, 81, 1],
      [3000, 44, 3],
      [6000, 32, 3]
    ]
  )
})

t.test('equal blocks are equal words', async t => {
  const plan = replayPlan(parseTrace(text), { skip: 0, requests: 4, scale: 16, rate: 1 })
  const prompts = new Prompts('x')
  const [first, second, third, other] = plan.map(request => tracePrompt(request, prompts, 1))
  t.equal(first!.split(' ').length, 64)
  t.ok(second!.startsWith(first!), 'both blocks')
  t.ok(third!.startsWith(first!.split(' ').slice(0, 32).join(' ')), 'the first block')
  t.notOk(third!.startsWith(first!.split(' ').slice(0, 40).join(' ')))
  t.notOk(other!.startsWith(first!.split(' ').slice(0, 3).join(' ')))
  t.equal(second!.split(' ').length, 81)
})

t.test('another format is refused', async t => {
  t.throws(() => parseTrace('{"timestamp":0}'), /line 1/)
})
