/** One schema that means "both of these": for `allOf`, and for keywords beside `$ref`, `anyOf` and `oneOf`. */
import { isDeepStrictEqual } from 'node:util'
import { isObject, type ObjectSchema, type Schema } from './schema-bounds.js'

/** Keywords that say nothing about what is valid. */
export const ANNOTATIONS: ReadonlySet<string> = new Set([
  'title',
  'description',
  'default',
  'example',
  'examples',
  '$comment',
  '$schema',
  '$id',
  'id',
  '$defs',
  'definitions',
  'deprecated',
  'readOnly',
  'writeOnly',
  'contentEncoding',
  'contentMediaType',
  'contentSchema',
  'nullable',
  'discriminator',
  'externalDocs',
  'xml'
])

/** Two schemas whose conjunction cannot be written as one. */
export class MergeError extends Error {
  constructor(readonly keyword: string) {
    super(`${keyword} on both sides`)
    this.name = 'MergeError'
  }
}

/**
 * @param a, b without `$ref`, `allOf` and `oneOf` at their top (the caller resolves these).
 * @throws MergeError
 */
export function mergeSchemas(a: Schema, b: Schema): Schema {
  if (a === false || b === false) return false
  if (a === true) return b
  if (b === true) return a
  const merged: ObjectSchema = { ...a }
  for (const [keyword, value] of Object.entries(b)) {
    if (!Object.hasOwn(a, keyword)) {
      merged[keyword] = value
      continue
    }
    if (ANNOTATIONS.has(keyword) || isDeepStrictEqual(a[keyword], value)) continue
    const combined = combine(keyword, a[keyword], value)
    if (combined === false) return false
    merged[keyword] = combined
  }
  mergeObjectKeywords(merged, a, b)
  return merged
}

function combine(keyword: string, x: unknown, y: unknown): unknown {
  switch (keyword) {
    case 'type': {
      const types = intersectTypes([x].flat() as string[], [y].flat() as string[])
      return types.length === 0 ? false : types
    }
    case 'enum': {
      const both = (x as unknown[]).filter(value =>
        (y as unknown[]).some(other => isDeepStrictEqual(value, other))
      )
      return both.length === 0 ? false : both
    }
    case 'const':
      return false
    case 'required':
      return [...new Set([...(x as string[]), ...(y as string[])])]
    case 'minimum':
    case 'exclusiveMinimum':
    case 'minLength':
    case 'minItems':
    case 'minProperties':
      return Math.max(x as number, y as number)
    case 'maximum':
    case 'exclusiveMaximum':
    case 'maxLength':
    case 'maxItems':
    case 'maxProperties':
      return Math.min(x as number, y as number)
    case 'uniqueItems':
      return true
    case 'pattern':
      return [...new Set([x, y].flat())]
    case 'anyOf':
      return (x as Schema[]).flatMap(left => (y as Schema[]).map(right => ({ allOf: [left, right] })))
    case 'items':
    case 'propertyNames':
      return both(x as Schema, y as Schema)
    case 'prefixItems':
      return longer(x as Schema[], y as Schema[])
    // Together with the properties: mergeObjectKeywords.
    case 'properties':
    case 'patternProperties':
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return x
    default:
      throw new MergeError(keyword)
  }
}

function both(x: Schema, y: Schema): Schema {
  if (x === false || y === false) return false
  if (x === true) return y
  return y === true ? x : { allOf: [x, y] }
}

function longer(x: Schema[], y: Schema[]): Schema[] {
  // Beyond the shorter list the other side's `items` would apply: rare enough to refuse.
  if (x.length !== y.length) throw new MergeError('prefixItems')
  return x.map((item, i) => both(item, y[i]!))
}

function intersectTypes(x: string[], y: string[]): string[] {
  const types = x.filter(type => y.includes(type))
  for (const [from, to] of [
    [x, y],
    [y, x]
  ] as const) {
    if (from.includes('integer') && to.includes('number') && !types.includes('integer')) types.push('integer')
  }
  return types
}

/** `additionalProperties` speaks about the properties of its own schema only, so names known to one side are checked. */
function mergeObjectKeywords(merged: ObjectSchema, a: ObjectSchema, b: ObjectSchema): void {
  const names = new Set([...keys(a.properties), ...keys(b.properties)])
  if (names.size > 0) {
    const properties: ObjectSchema = Object.create(null)
    for (const name of names) properties[name] = both(propertySchema(a, name), propertySchema(b, name))
    merged.properties = properties
  }
  const patterns = new Set([...keys(a.patternProperties), ...keys(b.patternProperties)])
  if (patterns.size > 0) {
    if (a.additionalProperties !== undefined || b.additionalProperties !== undefined) {
      if (!isDeepStrictEqual(a.patternProperties, b.patternProperties))
        throw new MergeError('patternProperties')
    }
    merged.patternProperties = Object.fromEntries(
      [...patterns].map(pattern => [
        pattern,
        both(own(a.patternProperties, pattern) ?? true, own(b.patternProperties, pattern) ?? true)
      ])
    )
  }
  for (const keyword of ['additionalProperties', 'unevaluatedProperties']) {
    if (a[keyword] !== undefined && b[keyword] !== undefined) {
      merged[keyword] = both(a[keyword] as Schema, b[keyword] as Schema)
    }
  }
}

function keys(value: unknown): string[] {
  return isObject(value) ? Object.keys(value) : []
}

function own(value: unknown, key: string): Schema | undefined {
  return isObject(value) && Object.hasOwn(value, key) ? (value[key] as Schema) : undefined
}

function propertySchema(schema: ObjectSchema, name: string): Schema {
  const declared = own(schema.properties, name)
  if (declared !== undefined) return declared
  if (schema.patternProperties !== undefined) return true // applied again where the object is written
  return (schema.additionalProperties ?? true) as Schema
}
