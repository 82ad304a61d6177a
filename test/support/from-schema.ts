/** Values that fit a JSON schema (nearly: the schema judges in the end), for the keywords that OpenAI's specification uses. */
import fc from 'fast-check'
import type { Json } from './chat-bodies.js'

interface Schema {
  $ref?: string
  allOf?: Schema[]
  anyOf?: Schema[]
  oneOf?: Schema[]
  enum?: Json[]
  const?: Json
  type?: string | string[]
  nullable?: boolean
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  items?: Schema
  minItems?: number
  maxItems?: number
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  format?: string
}

type Definitions = Record<string, unknown>

/** Deeper values take the simplest branch. */
const deepest = 7
const longest = 3

/** @param definitions what `#/components/schemas/NAME` refers to */
export function fromSchema(name: string, definitions: Definitions): fc.Arbitrary<Json> {
  return build({ $ref: `#/components/schemas/${name}` }, definitions, 0)
}

function build(schema: Schema, definitions: Definitions, depth: number): fc.Arbitrary<Json> {
  const bare = strip(schema)
  if (!schema.nullable) return bare(definitions, depth)
  return fc.oneof(
    { weight: 4, arbitrary: bare(definitions, depth) },
    { weight: 1, arbitrary: fc.constant(null) }
  )
}

function strip(schema: Schema): (definitions: Definitions, depth: number) => fc.Arbitrary<Json> {
  return (definitions, depth) => {
    if (schema.$ref !== undefined) {
      const target = definitions[schema.$ref.split('/').at(-1) as string] as Schema
      return build(target, definitions, depth)
    }
    if (schema.allOf) return all(schema, definitions, depth)
    const branches = schema.anyOf ?? schema.oneOf
    if (branches) {
      const usable = depth > deepest ? branches.slice(0, 1) : branches
      return fc.oneof(...usable.map(branch => build(branch, definitions, depth + 1)))
    }
    if (schema.const !== undefined) return fc.constant(schema.const)
    if (schema.enum) return fc.constantFrom(...schema.enum)
    const types = [schema.type ?? (schema.properties ? 'object' : 'anything')].flat()
    return fc.oneof(...types.map(type => ofType(type, schema, definitions, depth)))
  }
}

/** Objects are merged; of other parts, the last counts. */
function all(schema: Schema, definitions: Definitions, depth: number): fc.Arbitrary<Json> {
  const { allOf = [], ...rest } = schema
  const parts = [...allOf, ...(rest.properties || rest.type ? [rest as Schema] : [])]
  return fc.tuple(...parts.map(part => build(part, definitions, depth))).map(values => {
    const objects = values.filter(
      value => typeof value === 'object' && value !== null && !Array.isArray(value)
    )
    return objects.length > 0 ? (Object.assign({}, ...objects) as Json) : (values.at(-1) ?? null)
  })
}

function ofType(type: string, schema: Schema, definitions: Definitions, depth: number): fc.Arbitrary<Json> {
  switch (type) {
    case 'null':
      return fc.constant(null)
    case 'boolean':
      return fc.boolean()
    case 'integer':
      return fc.integer({ min: within(schema.minimum ?? 0), max: within(schema.maximum ?? 40) })
    case 'number':
      return fc.double({ min: schema.minimum ?? 0, max: schema.maximum ?? 40, noNaN: true })
    case 'string':
      return text(schema)
    case 'array': {
      const items = schema.items ? build(schema.items, definitions, depth + 1) : fc.constant('x')
      const minLength = schema.minItems ?? 0
      const maxLength = Math.max(
        minLength,
        depth > deepest ? 0 : Math.min(schema.maxItems ?? longest, longest)
      )
      return fc.array(items, { minLength, maxLength })
    }
    case 'object':
      return object(schema, definitions, depth)
    default:
      return fc.constantFrom<Json>('anything', 5, { a: 1 })
  }
}

/** The specification has 64-bit bounds; fast-check's integers are safe ones. */
function within(bound: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, bound))
}

const words = ['', 'a', 'Hello', 'x y', 'é🦊', '<|im_end|>', '{"a":1}', '\n', '0', 'file:///etc/passwd']

function text({ minLength = 0, maxLength = 64, pattern, format }: Schema): fc.Arbitrary<Json> {
  if (format === 'uri') return fc.constantFrom('http://127.0.0.1:1/x.png', 'data:image/png;base64,AA')
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern), { maxLength })
  return fc
    .oneof(fc.constantFrom(...words), fc.string({ maxLength: 12 }))
    .map(value => value.padEnd(minLength, 'x').slice(0, maxLength))
}

function object(schema: Schema, definitions: Definitions, depth: number): fc.Arbitrary<Json> {
  const { properties = {}, required = [], additionalProperties } = schema
  const optional = Object.keys(properties).filter(key => !required.includes(key))
  const model = Object.fromEntries(
    Object.entries(properties).map(([key, value]) => [key, build(value, definitions, depth + 1)])
  )
  // A few optional fields at a time: all of them together nearly never go together.
  const chosen = fc.subarray(optional, { maxLength: Math.min(optional.length, depth === 0 ? 6 : longest) })
  const known = chosen.chain(keys => {
    const wanted = [...required, ...(depth > deepest ? [] : keys)].filter(key => key in model)
    return fc.record(Object.fromEntries(wanted.map(key => [key, model[key] as fc.Arbitrary<Json>])))
  })
  if (typeof additionalProperties !== 'object') return known as fc.Arbitrary<Json>
  const more = fc.dictionary(
    fc.constantFrom('1', '7', '300', 'key'),
    build(additionalProperties, definitions, depth + 1),
    {
      maxKeys: 2
    }
  )
  return fc.tuple(known, more).map(([a, b]) => ({ ...b, ...a }) as Json)
}
