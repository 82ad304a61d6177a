import t from 'tap'
import { EngineHarness, request } from './harness.js'
import { SimulatedBackend } from './simulated-backend.js'

t.test('the tokens of an answer are told where they are asked for', async t => {
  const backend = new SimulatedBackend({ cells: 400 })
  const harness = await EngineHarness.start(backend)
  t.teardown(() => harness.stop())
  const prompt = [1, 2, 3, 4]
  const run = async (more: object) => {
    const outcome = await harness.guard(harness.run(request(prompt, { maxTokens: 12, logprobs: 0, ...more })))
    const drawn = outcome.events.flatMap(event => (event.type === 'text' ? (event.logprobs ?? []) : []))
    const finish = outcome.events.find(event => event.type === 'finish')
    return {
      drawn: drawn.map(({ token }) => token),
      told: finish?.type === 'finish' ? finish.tokens : undefined,
      text: outcome.text[0] ?? ''
    }
  }
  t.equal((await run({})).told, undefined)
  const whole = await run({ tellTokens: true, ignoreEndOfText: true })
  t.equal(whole.drawn.length, 12)
  t.strictSame(whole.told, whole.drawn)
  const stop = [whole.text.slice(3, 6)]
  t.equal(
    (await run({ tellTokens: true, ignoreEndOfText: true, stop })).told,
    undefined,
    'cut by a stop text'
  )
})
