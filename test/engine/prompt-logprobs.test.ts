import t from 'tap'
import type { PromptLogprob } from '../../src/engine/messages.js'
import { small } from '../llama/support/backends.js'
import { EngineHarness, type Outcome, request } from './harness.js'
import { SimulatedBackend } from './simulated-backend.js'

/** What was told of the prompt; exactly one event is the last. */
function told(outcome: Outcome): PromptLogprob[] {
  const events = outcome.events.filter(event => event.type === 'prompt')
  t.strictSame(
    events.map(({ last }) => last),
    events.map((_, i) => i === events.length - 1)
  )
  return events.flatMap(({ logprobs }) => logprobs)
}

const prompt = (length: number, step = 7) => Array.from({ length }, (_, i) => 1 + ((i * step) % 100))

t.test('every token of the prompt, in order, whatever is cached and whatever else runs', async t => {
  for (const invariantRows of [0, 32]) {
    const backend = new SimulatedBackend({ cells: 900, invariantRows })
    const harness = await EngineHarness.start(backend, { parallel: 4 })
    const plain = await harness.guard(harness.run(request(prompt(150), { maxTokens: 20 })))
    const read = { promptLogprobs: 2, logprobs: 1, maxTokens: 20 }
    const outcomes = await harness.guard(
      Promise.all([
        harness.run(request(prompt(150), { ...read, choices: 2 })),
        harness.run(request(prompt(150), { maxTokens: 20 })),
        harness.run(request(prompt(1), read)),
        harness.run(request(prompt(90, 11), { ...read, reproducible: true })),
        // More than fits beside the others: somebody is preempted, and computes again.
        ...Array.from({ length: 4 }, (_, i) =>
          harness.run(request(prompt(120, 13 + i), { ...read, maxTokens: 400, ignoreEndOfText: true }))
        )
      ])
    )
    const expected = [
      prompt(150),
      null,
      prompt(1),
      prompt(90, 11),
      ...[13, 14, 15, 16].map(s => prompt(120, s))
    ]
    for (const [i, outcome] of outcomes.entries()) {
      const tokens = told(outcome)
      t.strictSame(
        tokens.map(({ token }) => token),
        expected[i] ?? []
      )
      if (tokens.length === 0) continue
      t.equal(tokens[0]?.logprob, null)
      for (const { logprob, top } of tokens.slice(1)) {
        t.ok(logprob !== null && logprob <= 0)
        t.equal(top.length, 2)
      }
      const first = outcome.events.findIndex(event => event.type === 'text' && event.choice === 0)
      t.ok(first > outcome.events.findLastIndex(event => event.type === 'prompt'), 'before its text')
    }
    t.strictSame(outcomes[0]?.text, [plain.text[0], plain.text[0]], 'the same text')
    t.strictSame(outcomes[1]?.text, plain.text)

    t.ok(harness.engine.scheduler.preemptions > 0, 'some have computed their prompt twice')

    const none = await harness.guard(harness.run(request(prompt(70), { ...read, maxTokens: 0 })))
    t.equal(told(none).length, 70)
    t.strictSame([none.text, none.finish], [[], ['length']])
    await harness.stop()
  }
})

t.test('on the real model: what was generated has the same log probabilities as a prompt', async t => {
  const backend = await small(t, { contextCells: 1024, batchRows: 256 })
  const harness = await EngineHarness.start(backend, { batchRows: 256 })
  t.teardown(() => harness.stop())
  const start = '<|im_start|>user\nTell me about the sea.<|im_end|>\n<|im_start|>assistant\n'
  const written = await harness.guard(harness.run(request(start, { logprobs: 0, maxTokens: 60 })))
  const generated = written.events.flatMap(event => (event.type === 'text' ? (event.logprobs ?? []) : []))
  const tokens = [
    ...(await backend.tokenize(start, { addSpecial: false, parseSpecial: true })),
    ...generated.map(({ token }) => token)
  ]
  const asked = request(tokens, { promptLogprobs: 1, maxTokens: 0 })
  const read = told(await harness.guard(harness.run(asked)))
  t.strictSame(
    read.map(({ token }) => token),
    tokens
  )
  const again = read.slice(-generated.length)
  const apart = generated.map(({ logprob }, i) => Math.abs(logprob - (again[i]?.logprob ?? Number.NaN)))
  // Rounding differs with the shape of a batch (test/engine/oracle.test.ts states the bound of logits).
  t.ok(Math.max(...apart) < 1.5, `${Math.max(...apart)}`)
  t.ok(apart.filter(difference => difference < 0.1).length > generated.length * 0.8)
  const exact = told(await harness.guard(harness.run({ ...asked, reproducible: true })))
  t.strictSame(exact, told(await harness.guard(harness.run({ ...asked, reproducible: true }))))
})
