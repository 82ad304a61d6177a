/** What LangChain must find behind a base URL. */
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from '@langchain/openai'
import type { Test } from 'tap'
import { rejects } from '../support/rejects.js'
import type { Target } from './chat-cases.js'

export function chatModel(
  { baseURL, model, maxTokens }: Target,
  options: Partial<ConstructorParameters<typeof ChatOpenAI>[0]> = {}
): ChatOpenAI {
  return new ChatOpenAI({
    model,
    maxTokens,
    apiKey: 'none',
    temperature: 0,
    maxRetries: 0,
    configuration: { baseURL },
    ...options
  })
}

export async function langchainCases(t: Test, target: Target): Promise<void> {
  const model = chatModel(target)

  await t.test('streamed, the same text as whole', async t => {
    const whole = await model.invoke('Say hello.', { seed: 1 })
    t.ok(whole.content)
    t.match(whole.response_metadata.finish_reason, /^(stop|length)$/)
    t.ok((whole.usage_metadata?.input_tokens ?? 0) > 0)
    let text = ''
    let tokens = 0
    for await (const chunk of await model.stream('Say hello.', { seed: 1 })) {
      text += chunk.content
      tokens += chunk.usage_metadata?.output_tokens ?? 0
    }
    t.equal(text, whole.content)
    t.equal(tokens, whole.usage_metadata?.output_tokens)
  })

  await t.test('a batch', async t => {
    const answers = await model.batch(['One?', 'Two?', 'Three?'])
    t.equal(answers.length, 3)
    for (const { content } of answers) t.ok(content)
  })

  await t.test('completions, several prompts in one request', async t => {
    const completion = new OpenAI({
      model: target.model,
      maxTokens: 5,
      apiKey: 'none',
      maxRetries: 0,
      configuration: { baseURL: target.baseURL }
    })
    const { generations } = await completion.generate(['Once', 'Twice'])
    t.equal(generations.length, 2)
  })

  await t.test('errors', async t => {
    const unknown = chatModel({ ...target, model: 'no-such-model' }).invoke('x')
    t.match(await rejects(t, unknown, Error), { status: 404 })
    const wrong = chatModel(target, { temperature: 5 }).invoke('x')
    t.match(await rejects(t, wrong, Error), { status: 400 })
  })

  await t.test('an abort ends the stream, and the server goes on', async t => {
    const stop = new AbortController()
    const read = async () => {
      for await (const _chunk of await model.stream('Say hello.', { signal: stop.signal })) stop.abort()
    }
    await t.rejects(read())
    t.ok((await model.invoke('Say hello.')).content)
  })
}

export async function langchainEmbeddingCases(t: Test, { baseURL }: Target): Promise<void> {
  await t.test('embeddings', async t => {
    const embeddings = new OpenAIEmbeddings({
      model: 'default',
      apiKey: 'none',
      maxRetries: 0,
      configuration: { baseURL }
    })
    const vectors = await embeddings.embedDocuments(['one', 'two'])
    t.equal(vectors.length, 2)
    for (const vector of vectors) t.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-4)
  })
}
