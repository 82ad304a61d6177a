/** Running streams beside a long prompt, on the real engine: they go on within its steps, and say the same. */
import t from 'tap'
import { small } from '../llama/support/backends.js'
import { count } from '../support/counts.js'
import { EngineHarness, request } from './harness.js'

const skip = process.platform !== 'linux' && 'breaks need a C library of Linux'

t.test('streams beside a long prompt get tokens between its steps, the same as alone', { skip }, async t => {
  const backend = await small(t, { contextCells: 8192, sequenceIds: 32, lanes: 4 })
  const config = { contextCells: 8192, batchRows: 512, parallel: 4, checkEveryStep: true }
  const harness = await EngineHarness.start(backend, config)
  const tokens = count(120, 400)
  const options = { maxTokens: tokens, ignoreEndOfText: true }
  const numbers = { type: 'array', items: { type: 'integer' }, minItems: 500 }
  const stories = [
    request('Once upon a time', options),
    request('The quick brown fox', options),
    request('Some numbers', {
      ...options,
      constraint: { type: 'json_schema', strict: true, schema: numbers }
    })
  ]
  const long = Array.from({ length: 3000 }, (_, i) => 10 + ((i * 7919) % 6000))

  const alone: string[] = []
  for (const each of stories) alone.push((await harness.guard(harness.run(each))).text[0] as string)
  harness.engine.clearCache()

  const beside = new Map<number, number>()
  const compute = backend.beside!.compute.bind(backend.beside)
  backend.beside!.compute = rows => {
    for (const { sequence } of rows) beside.set(sequence, (beside.get(sequence) ?? 0) + 1)
    compute(rows)
  }
  const running = stories.map(each => harness.submit(each).done)
  while (harness.engine.stats().counters.generatedTokens < 3 * tokens + 20)
    await new Promise(resolve => setTimeout(resolve, 1))
  const prompt = harness.submit(request(long, { maxTokens: 1, ignoreEndOfText: true })).done
  await harness.guard(prompt)
  const together = (await harness.guard(Promise.all(running))).map(outcome => outcome.text[0])
  t.same(together, alone)
  t.equal(beside.size, 3, `${[...beside.values()]} tokens in breaks of the prompt's steps`)
  await harness.stop()
})

t.test('a stream that ends, or is cancelled, in a break leaves nothing behind', { skip }, async t => {
  const backend = await small(t, { contextCells: 4096, sequenceIds: 32, lanes: 4 })
  const config = { contextCells: 4096, batchRows: 512, parallel: 4, checkEveryStep: true, targetItlMs: 5 }
  const harness = await EngineHarness.start(backend, config)
  let finishedBeside = 0
  for (let round = 0; round < count(4, 20); round++) {
    let reading = false
    const first = harness.submit(
      request('Tell me a story', { maxTokens: 20 + round, ignoreEndOfText: true }),
      event => {
        if (event.type === 'finish' && reading) finishedBeside++
      }
    )
    const second = harness.submit(request('Count to ten', { maxTokens: 400, ignoreEndOfText: true }))
    await harness.guard(new Promise(resolve => setTimeout(resolve, 30)))
    reading = true
    const long = Array.from({ length: 1200 }, (_, i) => 10 + ((i * 7919 + round) % 6000))
    const third = harness.submit(request(long, { maxTokens: 1, ignoreEndOfText: true }), event => {
      if (event.type === 'end') reading = false
    })
    setTimeout(() => harness.cancel(second.id), 100)
    const outcomes = await harness.guard(Promise.all([first.done, third.done]))
    t.same(
      outcomes.map(({ finish }) => finish[0]),
      ['length', 'length']
    )
    await harness.guard(harness.engine.idle())
    t.same(harness.engine.check(), [])
  }
  t.comment(`${finishedBeside} ended while a prompt was read`)
  harness.engine.clearCache()
  t.equal(backend.usedCells(), 0)
  await harness.stop()
})
