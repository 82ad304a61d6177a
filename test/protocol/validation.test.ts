import t from 'tap'
import { ResponseRequest } from '../../src/protocol/openai/responses/schema.js'
import { ChatRequest } from '../../src/protocol/openai/schema/chat.js'
import { validationError } from '../../src/protocol/validation.js'
import { bodyValidator } from '../support/body-validator.js'

const issues = bodyValidator(ChatRequest)

function refusal(body: unknown): string {
  const error = validationError(issues(body))
  return `${error.code} ${error.param}: ${error.message}`
}

const user = { role: 'user', content: 'x' }

t.test('a refusal names the field and says what is wrong with it', async t => {
  const cases: Array<[unknown, string]> = [
    [[], 'invalid_body null: The request body must be a JSON object.'],
    [null, 'invalid_body null: The request body must be a JSON object.'],
    ['text', 'invalid_body null: The request body must be a JSON object.'],
    [{}, "missing_required_parameter messages: Missing required parameter: 'messages'."],
    [
      { messages: [] },
      "invalid_value messages: Invalid value for 'messages': it must NOT have fewer than 1 items."
    ],
    [
      { messages: 'x' },
      "invalid_type messages: Invalid type for 'messages': expected an array, got a string."
    ],
    [
      { messages: [1] },
      "invalid_type messages.0: Invalid type for 'messages.0': expected an object, got a number."
    ],
    [
      { messages: [{}] },
      "missing_required_parameter messages.0.role: Missing required parameter: 'messages.0.role'."
    ],
    [
      { messages: [{ role: 'wizard', content: 'x' }] },
      "invalid_value messages.0.role: Invalid value for 'messages.0.role': 'wizard' is not known."
    ],
    [
      { messages: [{ role: 'user' }] },
      "missing_required_parameter messages.0.content: Missing required parameter: 'messages.0.content'."
    ],
    [
      { messages: [{ role: 'user', content: 123 }] },
      "invalid_type messages.0.content: Invalid type for 'messages.0.content': expected a string or an array, got a number."
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      "missing_required_parameter messages.0.content.0.text: Missing required parameter: 'messages.0.content.0.text'."
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'video' }] }] },
      "invalid_value messages.0.content.0.type: Invalid value for 'messages.0.content.0.type': 'video' is not known."
    ],
    [
      { messages: [{ role: 'tool', content: 'x' }] },
      "missing_required_parameter messages.0.tool_call_id: Missing required parameter: 'messages.0.tool_call_id'."
    ],
    [
      { messages: [user], stream: 'true' },
      "invalid_type stream: Invalid type for 'stream': expected a boolean or null, got a string."
    ],
    [
      { messages: [user], temperature: 3 },
      "invalid_value temperature: Invalid value for 'temperature': it must be <= 2."
    ],
    [{ messages: [user], n: 0 }, "invalid_value n: Invalid value for 'n': it must be >= 1."],
    [
      { messages: [user], stop: ['1', '2', '3', '4', '5'] },
      "invalid_value stop: Invalid value for 'stop': it must NOT have more than 4 items."
    ],
    [
      { messages: [user], seed: 1e20 },
      "invalid_value seed: Invalid value for 'seed': it must be <= 9223372036854776000."
    ],
    [
      { messages: [user], top_logprobs: 21 },
      "invalid_value top_logprobs: Invalid value for 'top_logprobs': it must be <= 20."
    ],
    [
      { messages: [user], service_tier: 'gold' },
      "invalid_value service_tier: Invalid value for 'service_tier': it must be one of 'auto', 'default', 'flex', 'scale', 'priority', 'fast'."
    ]
  ]
  for (const [body, expected] of cases) t.equal(refusal(body), expected)
})

t.test('of a union, only the branch that is meant speaks', async t => {
  const found = bodyValidator(ResponseRequest)
  const cases: Array<[unknown, string]> = [
    [{ input: [{ type: 'dream' }] }, "Invalid value for 'input.0.type': 'dream' is not known."],
    [
      { input: [{ role: 'wizard', content: 'x' }] },
      "Invalid value for 'input.0.role': 'wizard' is not known."
    ],
    [{ input: [{ type: 'function_call', name: 'x' }] }, "Missing required parameter: 'input.0.call_id'."],
    [{ input: [{ role: 'user' }] }, "Missing required parameter: 'input.0.content'."],
    [{ input: [5] }, "Invalid type for 'input.0': expected an object, got a number."],
    [{ input: 'x', tools: [{ type: 'function' }] }, "Missing required parameter: 'tools.0.name'."],
    [
      { input: 'x', text: { format: { type: 'json_schema' } } },
      "Missing required parameter: 'text.format.name'."
    ]
  ]
  for (const [body, message] of cases) t.equal(validationError(found(body)).message, message)
})
