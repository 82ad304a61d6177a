/** What the Vercel AI SDK must find behind a base URL. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, embedMany, generateText, streamText } from 'ai'
import type { Test } from 'tap'
import { rejects } from '../support/rejects.js'
import type { Target } from './chat-cases.js'

export function provider({ baseURL }: Target, apiKey = 'none') {
  return createOpenAICompatible({ name: 'octavo', baseURL, apiKey, includeUsage: true })
}

export async function aiCases(t: Test, target: Target): Promise<void> {
  const octavo = provider(target)
  const base = {
    model: octavo(target.model),
    prompt: 'Say hello.',
    maxOutputTokens: target.maxTokens,
    maxRetries: 0,
    temperature: 0,
    seed: 1
  }

  await t.test('streamed, the same text as whole', async t => {
    const whole = await generateText(base)
    t.ok(whole.text)
    t.match(whole.finishReason, /^(stop|length)$/)
    t.ok((whole.usage.inputTokens ?? 0) > 0)
    const streamed = streamText(base)
    let text = ''
    for await (const part of streamed.textStream) text += part
    t.equal(text, whole.text)
    t.equal(await streamed.finishReason, whole.finishReason)
    t.equal((await streamed.usage).outputTokens, whole.usage.outputTokens)
  })

  await t.test('a completion', async t => {
    const { text } = await generateText({ ...base, model: octavo.completionModel(target.model) })
    t.type(text, 'string')
  })

  await t.test('errors carry status, and whether to try again', async t => {
    const unknown = generateText({ ...base, model: octavo('no-such-model') })
    t.match(await rejects(t, unknown, APICallError), {
      statusCode: 404,
      isRetryable: false,
      message: /no-such-model/
    })
    t.match(await rejects(t, generateText({ ...base, temperature: 5 }), APICallError), { statusCode: 400 })
  })

  await t.test('an abort ends the stream, and the server goes on', async t => {
    const stop = new AbortController()
    const { fullStream } = streamText({ ...base, abortSignal: stop.signal })
    const types: string[] = []
    for await (const part of fullStream) {
      types.push(part.type)
      if (part.type === 'text-delta') stop.abort()
    }
    t.ok(types.includes('abort'), types.join())
    t.ok((await generateText(base)).text)
  })
}

export async function aiEmbeddingCases(t: Test, target: Target): Promise<void> {
  await t.test('embeddings', async t => {
    const { embeddings, usage } = await embedMany({
      model: provider(target).textEmbeddingModel('default'),
      values: ['one', 'two'],
      maxRetries: 0
    })
    t.equal(embeddings.length, 2)
    t.ok(usage.tokens > 0)
    for (const vector of embeddings) t.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-4)
  })
}
