/**
 * Validation with ajv: of schemas when they arrive, of the finished text in any case. Patterns are matched by our own
 * automata where they are regular (linear time: a client cannot send one that takes for ever).
 */
import { Ajv, type Options } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { accepts } from './automaton.js'
import { ConstraintError } from './errors.js'
import { patternDfa } from './regex.js'
import { isObject, type Schema } from './schema-bounds.js'

export type Finished = { ok: true; value: unknown } | { ok: false; message: string }

/**
 * A pattern as ajv uses it; its text is what ajv tells patterns apart by. One that is not regular is not checked: a
 * backtracking matcher could hang the process.
 */
function linearRegExp(pattern: string) {
  const written = () => `/${pattern}/`
  try {
    const dfa = patternDfa(pattern)
    return { test: (value: string) => accepts(dfa, value), toString: written }
  } catch {
    return { test: () => true, toString: written }
  }
}
linearRegExp.code = 'linearRegExp'

const OPTIONS: Options = {
  strict: false,
  allErrors: false,
  validateFormats: true,
  inlineRefs: false,
  logger: false,
  multipleOfPrecision: 9,
  code: { regExp: linearRegExp }
}

function createAjv(schema: Schema) {
  const draft = isObject(schema) && typeof schema.$schema === 'string' && /draft-0[4-7]/.test(schema.$schema)
  const tuples = JSON.stringify(schema).includes('"items":[')
  const ajv = draft || tuples ? new Ajv(OPTIONS) : new Ajv2020(OPTIONS)
  addFormats.default(ajv)
  return ajv
}

/** What `$schema` and `$id` name is not looked up: the document stands alone. */
function compile(schema: Schema) {
  if (!isObject(schema)) return createAjv(schema).compile(schema)
  const { $schema: _schema, $id: _id, ...rest } = schema
  return createAjv(schema).compile(rest)
}

/** @throws ConstraintError when it is not a valid JSON schema. */
export function checkSchema(schema: Schema, param: string): void {
  try {
    compile(schema)
  } catch (error) {
    throw new ConstraintError(
      param,
      `not a valid JSON schema: ${error instanceof Error ? error.message : error}`
    )
  }
}

/** Whether a value satisfies a schema without references. */
export function allowsValue(schema: Schema, value: unknown): boolean {
  try {
    return compile(schema)(value)
  } catch {
    return true
  }
}

/**
 * The last word on a finished answer: parses it and validates it against the client's schema.
 * @param schema as the client sent it; null asks only for JSON.
 */
export function validateFinished(schema: unknown, text: string): Finished {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { ok: false, message: `not JSON: ${error instanceof Error ? error.message : error}` }
  }
  if (schema === null) return { ok: true, value }
  const validate = compile(schema as Schema)
  if (validate(value)) return { ok: true, value }
  const [first] = validate.errors ?? []
  return {
    ok: false,
    message: `${first?.instancePath || 'the document'} ${first?.message ?? 'does not fit the schema'}`
  }
}
