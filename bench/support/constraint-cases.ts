/**
 * Requests that are alike but for their constraint: the same tools in the same prompt, the same number of tokens. No
 * constrained answer can end before `max_tokens`: the list that is asked for is longer than that.
 */

const LEAST_RECORDS = 400

/** What agents ask for: short texts with and without a bound, numbers, enums, lists. */
const record = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 40 },
    kind: { enum: ['bug', 'feature', 'question'] },
    count: { type: 'integer', minimum: 0, maximum: 10_000 },
    done: { type: 'boolean' },
    labels: { type: 'array', items: { type: 'string', maxLength: 24 }, minItems: 1, maxItems: 4 }
  },
  required: ['name', 'kind', 'count', 'done', 'labels'],
  additionalProperties: false
}

const listOf = (items: object) => ({
  type: 'object',
  properties: { records: { type: 'array', items, minItems: LEAST_RECORDS } },
  required: ['records'],
  additionalProperties: false
})

/** Short values of many kinds. */
export const recordsSchema = listOf(record)
/** Long text: nearly all tokens are allowed nearly all the time. */
export const proseSchema = listOf({ type: 'string' })

const tools = [
  {
    type: 'function',
    function: { name: 'save', description: 'Saves records.', parameters: recordsSchema, strict: true }
  }
]
/** The tools stay in the prompt, none may be called, and nothing is constrained. */
const callNothing = {
  tools,
  tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [] } }
}

const format = (schema: object) => ({
  ...callNothing,
  response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } }
})

export interface ConstraintCase {
  name: string
  /** Members of the request's body. */
  body: Record<string, unknown>
  /** How every answer has to begin. */
  begins: RegExp
}

export const freeCase: ConstraintCase = { name: 'free', body: callNothing, begins: /^/ }

export const constraintCases: ConstraintCase[] = [
  {
    name: 'json_schema, records',
    body: format(recordsSchema),
    begins: /^\{\s*"records"\s*:\s*\[/
  },
  { name: 'json_schema, prose', body: format(proseSchema), begins: /^\{\s*"records"\s*:\s*\[/ },
  {
    name: 'tool_choice required',
    body: { tools, tool_choice: 'required' },
    begins: /^\{\s*"records"\s*:\s*\[/
  }
]
