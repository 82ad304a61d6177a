/** Every SDK on the real server, as a user starts it, with the models of the package. */
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { realServer } from '../support/real-server.js'
import { aiCases, aiEmbeddingCases } from './ai-cases.js'
import { chatCases, client, rejects, type Target } from './chat-cases.js'
import { langchainCases, langchainEmbeddingCases } from './langchain-cases.js'

const { url, child } = await realServer(t)
const target: Target = { baseURL: `${url}/v1`, model: 'MiniMind2-Small-26M-q8_0', maxTokens: 40 }

t.test('openai', async t => {
  await chatCases(t, target)
  await completionCases(t, client(target))
  await embeddingCases(t, client(target))
})

t.test('Vercel AI', async t => {
  await aiCases(t, target)
  await aiEmbeddingCases(t, target)
})

t.test('LangChain', async t => {
  await langchainCases(t, target)
  await langchainEmbeddingCases(t, target)
})

t.test('the server has lived through all of it', async t => {
  t.equal(child.exitCode, null)
  const health = (await (await fetch(`${url}/health`)).json()) as { models: Array<{ restarts: number }> }
  t.strictSame(
    health.models.map(({ restarts }) => restarts),
    [0]
  )
})

async function completionCases(t: Test, openai: OpenAI): Promise<void> {
  const base = { model: 'default', max_tokens: 12, temperature: 0, seed: 1 }

  await t.test('completions: streamed, the same text as whole', async t => {
    const whole = await openai.completions.create({ ...base, prompt: ['Once upon', 'The end'], logprobs: 2 })
    t.strictSame(
      whole.choices.map(({ index }) => index),
      [0, 1]
    )
    const stream = await openai.completions.create({
      ...base,
      prompt: ['Once upon', 'The end'],
      stream: true
    })
    const texts = ['', '']
    for await (const { choices } of stream) for (const { index, text } of choices) texts[index] += text
    t.strictSame(
      texts,
      whole.choices.map(({ text }) => text)
    )
    for (const { text, logprobs } of whole.choices) {
      if (logprobs?.tokens?.every(token => !token.startsWith('bytes:'))) {
        t.equal(logprobs.tokens.join(''), text)
        const characters = [...text]
        logprobs.text_offset?.forEach((offset, index) => {
          const token = logprobs.tokens?.[index] ?? ''
          t.ok(characters.slice(offset).join('').startsWith(token))
        })
      }
    }
  })

  await t.test('completions: a text and its tokens are the same prompt', async t => {
    const prompt = 'The capital of France'
    const reply = await fetch(`${url}/tokenize`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ content: prompt, add_special: true })
    })
    const { tokens } = (await reply.json()) as { tokens: number[] }
    const [text, ids] = await Promise.all([
      openai.completions.create({ ...base, prompt, echo: true }),
      openai.completions.create({ ...base, prompt: tokens, echo: true })
    ])
    t.equal(text.choices[0]?.text, ids.choices[0]?.text)
    t.ok(text.choices[0]?.text.startsWith(prompt))
    t.equal(text.usage?.prompt_tokens, tokens.length)
  })

  await t.test('completions: log probabilities of the prompt', async t => {
    const prompt = 'Once upon a time, a house stood by the sea:'
    const asked = { ...base, prompt, echo: true, logprobs: 2, max_tokens: 0 }
    const { choices, usage } = await openai.completions.create(asked)
    const logprobs = choices[0]?.logprobs
    t.equal(choices[0]?.text, prompt)
    t.equal(logprobs?.tokens?.join(''), prompt)
    t.match(usage, { completion_tokens: 0, prompt_tokens: logprobs?.tokens?.length })
    t.strictSame([logprobs?.token_logprobs?.[0], logprobs?.top_logprobs?.[0]], [0, {}])
    const characters = [...prompt]
    logprobs?.tokens?.forEach((token, i) => {
      t.ok(characters.slice(logprobs.text_offset?.[i]).join('').startsWith(token))
      if (i > 0) t.ok(Object.hasOwn(logprobs.top_logprobs?.[i] ?? {}, token))
    })
    const stream = await openai.completions.create({ ...asked, max_tokens: 2, stream: true })
    const tokens: string[] = []
    let text = ''
    for await (const chunk of stream) {
      for (const choice of chunk.choices) {
        text += choice.text
        tokens.push(...(choice.logprobs?.tokens ?? []))
      }
    }
    t.ok(text.startsWith(prompt))
    if (!tokens.some(token => token.startsWith('bytes:'))) t.equal(tokens.join(''), text)
  })

  await t.test('completions: the best of several', async t => {
    const { choices, usage } = await openai.completions.create({
      ...base,
      temperature: 1,
      prompt: 'A',
      n: 2,
      best_of: 4
    })
    t.equal(choices.length, 2)
    t.ok((usage?.completion_tokens ?? 0) > 12)
  })
}

async function embeddingCases(t: Test, openai: OpenAI): Promise<void> {
  await t.test('embeddings: base64 (what the SDK asks for) and floats', async t => {
    const base = { model: 'all-MiniLM-L6-v2-q8_0', input: ['Hello world', 'Something else'] }
    const encoded = await openai.embeddings.create(base)
    const floats = await openai.embeddings.create({ ...base, encoding_format: 'float' })
    t.equal(encoded.usage.prompt_tokens, 8)
    for (const [index, { embedding }] of encoded.data.entries()) {
      t.equal(embedding.length, 384)
      t.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-4)
      const other = floats.data[index]?.embedding ?? []
      embedding.forEach((value, place) => {
        if (Math.abs(value - (other[place] ?? 0)) > 1e-6) t.fail(`${value} is not ${other[place]}`)
      })
    }
  })

  await t.test('embeddings: errors', async t => {
    const create = (body: object) =>
      openai.embeddings.create({ model: 'default', ...body } as OpenAI.EmbeddingCreateParams)
    await rejects(t, create({ input: 'hello '.repeat(600) }), OpenAI.BadRequestError, {
      code: 'context_length_exceeded'
    })
    await rejects(t, create({ input: '' }), OpenAI.BadRequestError)
    await rejects(t, create({ input: [99_999] }), OpenAI.BadRequestError)
    await rejects(t, create({ input: 'x', dimensions: 100 }), OpenAI.BadRequestError, {
      param: 'dimensions'
    })
    await rejects(t, create({ input: 'x', model: target.model }), OpenAI.BadRequestError)
    await rejects(t, create({ input: 'x', model: 'nothing' }), OpenAI.NotFoundError)
  })
}
