import t from 'tap'
import { listen } from '../server/helper.js'
import { chatModel, langchainCases } from './langchain-cases.js'

t.test('over the fake engine', async t => {
  const { url } = await listen(t)
  await langchainCases(t, { baseURL: `${url}/v1`, model: 'fake', maxTokens: 50 })
})

t.test('a 429 is tried again', async t => {
  const { url, models } = await listen(t)
  const target = { baseURL: `${url}/v1`, model: 'fake', maxTokens: 50 }
  let refusals = 1
  models.engine.script.verdict = () =>
    refusals-- > 0 ? { kind: 'full', retryAfterMs: 30, reason: 'queue' } : undefined
  t.ok((await chatModel(target, { maxRetries: 2 }).invoke('Hello')).content)
  t.equal(models.engine.generations.length, 2)
})

t.test('a failure in mid-stream is thrown', async t => {
  const { url, models } = await listen(t)
  models.engine.script.fail = { code: 'engine_crashed', afterTokens: 3 }
  const model = chatModel({ baseURL: `${url}/v1`, model: 'fake', maxTokens: 50 })
  let text = ''
  const read = async () => {
    for await (const chunk of await model.stream('Hello')) text += chunk.content
  }
  await t.rejects(read())
  t.equal(text, 'The quick brown')
})
