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
  // Flat code: with the first error only, the code for many properties is nested too deeply to be compiled.
  allErrors: true,
  validateFormats: true,
  inlineRefs: false,
  logger: false,
  multipleOfPrecision: 9,
  // Most schemas are used once: optimizing their code costs more than it gains.
  code: { regExp: linearRegExp, optimize: false }
}

type Draft = 'draft-07' | '2020-12'

/** Each has compiled its meta schema once (100 ms), and is used for one document after the other. */
const shared = new Map<Draft, Ajv>()

function createAjv(draft: Draft): Ajv {
  const ajv = draft === 'draft-07' ? new Ajv(OPTIONS) : new Ajv2020(OPTIONS)
  addFormats.default(ajv)
  return ajv
}

function sharedAjv(draft: Draft): Ajv {
  const ajv = shared.get(draft) ?? createAjv(draft)
  shared.set(draft, ajv)
  return ajv
}

function draftOf(schema: Schema, text: string): Draft {
  const old = isObject(schema) && typeof schema.$schema === 'string' && /draft-0[4-7]/.test(schema.$schema)
  return old || text.includes('"items":[') ? 'draft-07' : '2020-12'
}

/** What `$schema` and `$id` name is not looked up: the document stands alone, and nothing of it is kept. */
function compile(schema: Schema) {
  if (!isObject(schema)) return sharedAjv('2020-12').compile(schema)
  const text = JSON.stringify(schema)
  const { $schema: _schema, $id: _id, ...rest } = schema
  const draft = draftOf(schema, text)
  // Names of inner schemas stay with the instance for good.
  if (JSON.stringify(rest).includes('"$id":')) return createAjv(draft).compile(rest)
  const ajv = sharedAjv(draft)
  try {
    return ajv.compile(rest)
  } finally {
    ajv.removeSchema(rest)
  }
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
