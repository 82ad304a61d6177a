// Anthropic SDK: a streamed message.
import Anthropic from '@anthropic-ai/sdk'

const anthropic = new Anthropic({
  baseURL: process.env.OCTAVO_URL ?? 'http://127.0.0.1:8080',
  apiKey: process.env.OCTAVO_API_KEY ?? 'none'
})

const stream = anthropic.messages.stream({
  model: 'default',
  system: 'You answer in one sentence.',
  messages: [{ role: 'user', content: 'What is a lighthouse for?' }],
  max_tokens: 60
})
stream.on('text', text => process.stdout.write(text))
const { stop_reason, usage } = await stream.finalMessage()
process.stdout.write(`\n${stop_reason}, ${usage.output_tokens} tokens\n`)
