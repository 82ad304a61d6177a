import OpenAI from 'openai'
import t from 'tap'
import { listen } from '../server/helper.js'
import { chatCases, client, rejects, type Target } from './chat-cases.js'

const hello = { model: 'fake', messages: [{ role: 'user' as const, content: 'Hello' }] }

function target(url: string): Target {
  return { baseURL: `${url}/v1`, model: 'fake', maxTokens: 50 }
}

t.test('over the fake engine', async t => {
  const { url } = await listen(t)
  await chatCases(t, target(url))
})

t.test('the SDK waits as long as a 429 tells it, and tries again', async t => {
  const { url, models } = await listen(t)
  let refusals = 2
  models.engine.script.verdict = () =>
    refusals-- > 0 ? { kind: 'full', retryAfterMs: 60, reason: 'queue' } : undefined
  const start = performance.now()
  const completion = await client(target(url), { maxRetries: 2 }).chat.completions.create(hello)
  const ms = performance.now() - start
  t.ok(completion.choices[0]?.message.content)
  t.equal(models.engine.generations.length, 3)
  t.ok(ms >= 115 && ms < 2000, `waited ${ms} ms`)
  refusals = 10
  await rejects(t, client(target(url)).chat.completions.create(hello), OpenAI.RateLimitError)
})

t.test('an engine that crashed is tried again, a timeout is not', async t => {
  const { url, models } = await listen(t)
  const openai = client(target(url), { maxRetries: 1 })
  models.engine.script.fail = { code: 'total_timeout', afterTokens: -1 }
  await rejects(t, openai.chat.completions.create(hello), OpenAI.InternalServerError)
  t.equal(models.engine.generations.length, 1)
  models.engine.script.fail = { code: 'engine_crashed', afterTokens: -1 }
  const pending = openai.chat.completions.create(hello)
  setTimeout(() => {
    models.engine.script.fail = null
  }, 200)
  t.ok((await pending).choices[0])
  t.equal(models.engine.generations.length, 3)
})

t.test('a failure in mid-stream is thrown by the stream', async t => {
  const { url, models } = await listen(t)
  models.engine.script.fail = { code: 'engine_crashed', afterTokens: 3 }
  const stream = await client(target(url)).chat.completions.create({ ...hello, stream: true })
  let text = ''
  const read = async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
  }
  await t.rejects(read(), { code: 'engine_crashed' })
  t.equal(text, 'The quick brown')
})

t.test('an abort cancels the generation', async t => {
  const { url, models } = await listen(t)
  models.engine.script.tokenMs = 5
  models.engine.script.tokens = () => Array.from({ length: 10_000 }, () => 'x')
  const stream = await client(target(url)).chat.completions.create({ ...hello, stream: true })
  for await (const _chunk of stream) break
  await new Promise(resolve => setTimeout(resolve, 200))
  t.equal(models.engine.last.cancelled, true)
})

t.test('keys', async t => {
  const { url } = await listen(t, { apiKeys: ['secret'] })
  await rejects(t, client(target(url)).chat.completions.create(hello), OpenAI.AuthenticationError)
  t.ok(await client(target(url), { apiKey: 'secret' }).chat.completions.create(hello))
})
