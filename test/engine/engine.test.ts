import t from 'tap'
import { cachedOf, EngineHarness, request } from './harness.js'
import { expectedAnswer, SimulatedBackend } from './simulated-backend.js'

const text = (tokens: number[]) => Buffer.from(tokens).toString('utf8')
const tokens = (n: number, seed = 1) =>
  Array.from({ length: n }, (_, i) => 1 + ((i * 7919 + seed * 104729) % 120))

t.test('one request gives what the model says', async t => {
  const backend = new SimulatedBackend()
  const harness = await EngineHarness.start(backend)
  const prompt = tokens(100)
  const outcome = await harness.guard(harness.run(request(prompt)))
  t.equal(outcome.text[0], text(expectedAnswer(prompt, 16)))
  t.match(outcome.events[0], { type: 'verdict', verdict: { kind: 'admitted', promptTokens: 100 } })
  t.equal(cachedOf(outcome), 0)
  const again = await harness.guard(harness.run(request(prompt)))
  t.equal(again.text[0], outcome.text[0])
  t.equal(cachedOf(again), 99, 'all but the last prompt token is attached')
  await harness.stop()
})

t.test('simultaneous requests with one long prefix compute it once', async t => {
  const backend = new SimulatedBackend()
  const harness = await EngineHarness.start(backend, { parallel: 16 })
  const shared = tokens(300)
  const prompts = Array.from({ length: 12 }, (_, i) => [...shared, ...tokens(10, i + 2)])
  const outcomes = await harness.guard(
    Promise.all(prompts.map(prompt => harness.run(request(prompt, { maxTokens: 8 }))))
  )
  for (const [i, outcome] of outcomes.entries())
    t.equal(outcome.text[0], text(expectedAnswer(prompts[i]!, 8)))
  const computed = harness.engine.stats().counters.promptTokens
  t.ok(computed <= 300 + 12 * 12, `computed ${computed} prompt tokens`)
  await harness.stop()
})
