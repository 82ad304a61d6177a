// The model calls a function, gets its result and answers.
import OpenAI from 'openai'

const openai = new OpenAI({
  baseURL: `${process.env.OCTAVO_URL ?? 'http://127.0.0.1:8080'}/v1`,
  apiKey: process.env.OCTAVO_API_KEY ?? 'none'
})

const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'The weather in a city now',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } },
        required: ['city'],
        additionalProperties: false
      }
    }
  }
]
const messages = [{ role: 'user', content: 'What is the weather like in Paris?' }]

// `required` makes even a weak model call; a good one does so by itself with `auto`.
const first = await openai.chat.completions.create({
  model: 'default',
  messages,
  tools,
  tool_choice: 'required',
  parallel_tool_calls: false,
  chat_template_kwargs: { enable_thinking: false },
  max_tokens: 200
})
const [call] = first.choices[0].message.tool_calls
const { city } = JSON.parse(call.function.arguments)
process.stdout.write(`called: ${call.function.name}(${city})\n`)

messages.push(first.choices[0].message, {
  role: 'tool',
  tool_call_id: call.id,
  content: JSON.stringify({ city, celsius: 21, sky: 'clear' })
})
const second = await openai.chat.completions.create({
  model: 'default',
  messages,
  tools,
  tool_choice: 'none',
  max_tokens: 60
})
process.stdout.write(`answer: ${second.choices[0].message.content}\n`)
