// The responses API: the server keeps the conversation, the second turn says only what is new.
import OpenAI from 'openai'

const openai = new OpenAI({
  baseURL: `${process.env.OCTAVO_URL ?? 'http://127.0.0.1:8080'}/v1`,
  apiKey: process.env.OCTAVO_API_KEY ?? 'none'
})

const first = await openai.responses.create({
  model: 'default',
  instructions: 'You answer in one sentence.',
  input: 'Name a large river.',
  max_output_tokens: 60
})
process.stdout.write(`first: ${first.output_text}\n`)

const stream = await openai.responses.create({
  model: 'default',
  previous_response_id: first.id,
  input: 'And a small one?',
  max_output_tokens: 60,
  stream: true
})
process.stdout.write('second: ')
for await (const event of stream) {
  if (event.type === 'response.output_text.delta') process.stdout.write(event.delta)
}
process.stdout.write('\n')
