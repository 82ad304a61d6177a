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

t.test('no token of a running stream waits for more than one step that takes a prompt in', async t => {
  const backend = new SimulatedBackend({ cells: 4096, batchRows: 256 })
  const harness = await EngineHarness.start(backend, { contextCells: 4096, batchRows: 256 })
  let told = 0
  const toldAtPromptSteps: number[] = []
  const decode = backend.decode.bind(backend)
  backend.decode = async () => {
    const prompt = backend.batch.rows.length > 1
    const result = await decode()
    if (prompt) toldAtPromptSteps.push(told)
    return result
  }
  const runs = new Promise<void>(resolve => {
    const endless = request(tokens(10), { maxTokens: 300, ignoreEndOfText: true })
    harness.submit(endless, event => {
      if (event.type === 'text') told += event.tokens
      if (told >= 20) resolve()
    })
  })
  await harness.guard(runs)
  toldAtPromptSteps.length = 0
  await harness.guard(harness.run(request(tokens(2000, 5), { maxTokens: 1 })))
  t.ok(toldAtPromptSteps.length > 5, `${toldAtPromptSteps.length} steps took the prompt in`)
  for (const [i, now] of toldAtPromptSteps.entries())
    if (i > 0) t.ok(now > (toldAtPromptSteps[i - 1] as number), `${now} tokens told by step ${i}`)
  await harness.stop()
})
