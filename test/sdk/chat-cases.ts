/** What the openai SDK must find behind a base URL: a server over the fake engine, or a real one. */
import OpenAI from 'openai'
import type { Test } from 'tap'

export interface Target {
  /** With /v1. */
  baseURL: string
  model: string
  /** Most tokens to ask for, so that a real model is done soon. */
  maxTokens: number
}

export function client(
  target: Target,
  options: Partial<ConstructorParameters<typeof OpenAI>[0]> = {}
): OpenAI {
  return new OpenAI({ baseURL: target.baseURL, apiKey: 'none', maxRetries: 0, ...options })
}

/** The promise must be rejected with an error of this class (tap compares by fields, not by class). */
export async function rejects(
  t: Test,
  promise: Promise<unknown>,
  kind: new (...args: never[]) => Error,
  fields: object = {}
): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  t.ok(error instanceof kind, `${kind.name}, got ${error}`)
  t.match(error, fields)
}

const messages = [{ role: 'user' as const, content: 'Say hello.' }]

export async function chatCases(t: Test, target: Target): Promise<void> {
  const openai = client(target)
  const base = { model: target.model, messages, max_tokens: target.maxTokens }

  await t.test('whole', async t => {
    const completion = await openai.chat.completions.create({ ...base, temperature: 0, seed: 1 })
    t.equal(completion.object, 'chat.completion')
    t.ok(completion.choices[0]?.message.content)
    t.match(completion.choices[0]?.finish_reason, /^(stop|length)$/)
    t.ok((completion.usage?.prompt_tokens ?? 0) > 0)
    t.ok((completion.usage?.completion_tokens ?? 0) > 0)
    t.match(completion._request_id, /^req_/)
  })

  await t.test('streamed, the same text as whole', async t => {
    const whole = await openai.chat.completions.create({ ...base, temperature: 0, seed: 1 })
    const stream = await openai.chat.completions.create({
      ...base,
      temperature: 0,
      seed: 1,
      stream: true,
      stream_options: { include_usage: true }
    })
    let text = ''
    const reasons: string[] = []
    let usage: OpenAI.CompletionUsage | null | undefined
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      const reason = chunk.choices[0]?.finish_reason
      if (reason) reasons.push(reason)
      usage = chunk.usage ?? usage
    }
    t.equal(text, whole.choices[0]?.message.content)
    t.strictSame(reasons, [whole.choices[0]?.finish_reason])
    t.equal(usage?.completion_tokens, whole.usage?.completion_tokens)
  })

  await t.test('the stream helper', async t => {
    const runner = openai.chat.completions.stream({ ...base, n: 2, logprobs: true, top_logprobs: 2 })
    const completion = await runner.finalChatCompletion()
    t.equal(completion.choices.length, 2)
    for (const choice of completion.choices) {
      const bytes = choice.logprobs?.content?.flatMap(entry => entry.bytes ?? []) ?? []
      t.equal(Buffer.from(bytes).toString(), choice.message.content)
    }
  })

  await t.test('models', async t => {
    const page = await openai.models.list()
    t.ok(page.data.some(model => model.id === target.model))
    t.equal((await openai.models.retrieve(target.model)).id, target.model)
  })

  await t.test('errors have their classes', async t => {
    const wrong = (body: object) =>
      openai.chat.completions.create({ ...base, ...body } as OpenAI.ChatCompletionCreateParamsNonStreaming)
    await rejects(t, wrong({ temperature: 5 }), OpenAI.BadRequestError, {
      status: 400,
      code: 'invalid_value',
      param: 'temperature'
    })
    await rejects(t, wrong({ messages: [], stream: true }), OpenAI.BadRequestError)
    await rejects(t, wrong({ model: 'no-such-model' }), OpenAI.NotFoundError, {
      code: 'model_not_found',
      requestID: /^req_/
    })
    await rejects(t, openai.models.retrieve('no-such-model'), OpenAI.NotFoundError)
  })

  await t.test('an aborted stream ends, and the server goes on', async t => {
    const stream = await openai.chat.completions.create({ ...base, stream: true })
    let chunks = 0
    for await (const _chunk of stream) {
      chunks += 1
      if (chunks === 2) stream.controller.abort()
    }
    t.ok(chunks >= 2)
    const controller = new AbortController()
    const pending = openai.chat.completions.create(base, { signal: controller.signal })
    controller.abort()
    await rejects(t, pending, OpenAI.APIUserAbortError)
    t.ok((await openai.chat.completions.create(base)).choices[0])
  })
}
