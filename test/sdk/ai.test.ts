import { generateText, RetryError, streamText } from 'ai'
import t from 'tap'
import { listen } from '../server/helper.js'
import { rejects } from '../support/rejects.js'
import { aiCases, provider } from './ai-cases.js'

const prompt = 'Hello'

t.test('over the fake engine', async t => {
  const { url } = await listen(t)
  await aiCases(t, { baseURL: `${url}/v1`, model: 'fake', maxTokens: 50 })
})

t.test('the SDK waits as long as a 429 tells it, and tries again', async t => {
  const { url, models } = await listen(t)
  const model = provider({ baseURL: `${url}/v1`, model: 'fake', maxTokens: 50 })('fake')
  let refusals = 2
  models.engine.script.verdict = () =>
    refusals-- > 0 ? { kind: 'full', retryAfterMs: 60, reason: 'queue' } : undefined
  const begun = performance.now()
  t.ok((await generateText({ model, prompt, maxRetries: 2 })).text)
  t.equal(models.engine.generations.length, 3)
  t.ok(performance.now() - begun >= 115)
  refusals = 10
  await rejects(t, generateText({ model, prompt, maxRetries: 1 }), RetryError)
})

t.test('a failure in mid-stream is an error part', async t => {
  const { url, models } = await listen(t)
  const model = provider({ baseURL: `${url}/v1`, model: 'fake', maxTokens: 50 })('fake')
  models.engine.script.fail = { code: 'engine_crashed', afterTokens: 3 }
  let text = ''
  const errors: unknown[] = []
  const { fullStream } = streamText({
    model,
    prompt,
    maxRetries: 0,
    onError: ({ error }) => void errors.push(error)
  })
  for await (const part of fullStream) if (part.type === 'text-delta') text += part.text
  t.equal(text, 'The quick brown')
  t.equal(errors.length, 1)
})
