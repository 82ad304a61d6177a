// An answer as it is written.
import OpenAI from 'openai'

const openai = new OpenAI({
  baseURL: `${process.env.OCTAVO_URL ?? 'http://127.0.0.1:8080'}/v1`,
  apiKey: process.env.OCTAVO_API_KEY ?? 'none'
})

const stream = await openai.chat.completions.create({
  model: 'default',
  messages: [{ role: 'user', content: 'Tell me about the sea in two sentences.' }],
  max_tokens: 60,
  stream: true,
  stream_options: { include_usage: true }
})

for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? '')
  if (chunk.usage) {
    const { prompt_tokens, completion_tokens, prompt_tokens_details } = chunk.usage
    const cached = prompt_tokens_details?.cached_tokens ?? 0
    process.stdout.write(`\n${prompt_tokens} tokens in (${cached} cached), ${completion_tokens} out\n`)
  }
}
