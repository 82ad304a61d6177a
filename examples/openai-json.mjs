// An answer that is valid against a JSON schema, whatever the model would have liked to write.
import OpenAI from 'openai'

const openai = new OpenAI({
  baseURL: `${process.env.OCTAVO_URL ?? 'http://127.0.0.1:8080'}/v1`,
  apiKey: process.env.OCTAVO_API_KEY ?? 'none'
})

const completion = await openai.chat.completions.create({
  model: 'default',
  messages: [{ role: 'user', content: 'Anna is 31 and lives in Oslo. Extract name, age and city.' }],
  response_format: {
    type: 'json_schema',
    json_schema: {
      name: 'person',
      strict: true,
      schema: {
        type: 'object',
        properties: {
          name: { type: 'string', maxLength: 20 },
          age: { type: 'integer', minimum: 0, maximum: 150 },
          city: { enum: ['Oslo', 'Bergen', 'elsewhere'] }
        },
        required: ['name', 'age', 'city'],
        additionalProperties: false
      }
    }
  },
  // A model that thinks first may need all its tokens for that.
  chat_template_kwargs: { enable_thinking: false },
  max_tokens: 200
})
const person = JSON.parse(completion.choices[0].message.content)
process.stdout.write(`${person.name}, ${person.age}, ${person.city}\n`)
