/** What a schema says about one value, without compiling it. For syntaxes that write texts without quotes. */
import { isObject, type ObjectSchema, resolvePointer, type Schema } from './schema-bounds.js'

const MAX_DEPTH = 20

/**
 * The JSON types (`integer` counts as `number`) that a value may have.
 * @param root the document that references lead into
 * @returns null: any, or it cannot be told
 */
export function typesOf(schema: unknown, root: Schema, depth = 0): ReadonlySet<string> | null {
  if (!isObject(schema) || depth > MAX_DEPTH) return null
  const sets: Array<ReadonlySet<string> | null> = []
  const inner = (part: unknown) => typesOf(part, root, depth + 1)
  if (schema.const !== undefined) sets.push(new Set([typeOf(schema.const)]))
  if (Array.isArray(schema.enum)) sets.push(new Set(schema.enum.map(typeOf)))
  if (schema.type !== undefined) sets.push(new Set([schema.type].flat().map(plainType)))
  if (typeof schema.$ref === 'string') sets.push(inner(resolvePointer(root, schema.$ref)))
  if (Array.isArray(schema.allOf)) sets.push(...schema.allOf.map(inner))
  for (const branches of [schema.anyOf, schema.oneOf]) {
    if (Array.isArray(branches)) sets.push(union(branches.map(inner)))
  }
  const known = sets.filter(set => set !== null)
  if (known.length === 0) return null
  const [first, ...others] = known
  return new Set([...(first ?? [])].filter(type => others.every(set => set.has(type))))
}

/** The schema of one member of an object; undefined when nothing is said about it. */
export function memberOf(schema: unknown, name: string, root: Schema, depth = 0): unknown {
  if (!isObject(schema) || depth > MAX_DEPTH) return undefined
  const { properties, additionalProperties } = schema
  if (isObject(properties) && Object.hasOwn(properties, name)) return properties[name]
  const parts: unknown[] = [schema.allOf, schema.anyOf, schema.oneOf].flatMap(list => list ?? [])
  if (typeof schema.$ref === 'string') parts.push(resolvePointer(root, schema.$ref))
  for (const part of parts) {
    const found = memberOf(part, name, root, depth + 1)
    if (found !== undefined) return found
  }
  return isObject(additionalProperties) ? additionalProperties : undefined
}

/** The values that a schema lists; null: it lists none. */
export function listedValues(schema: ObjectSchema): unknown[] | null {
  if (schema.const !== undefined) return [schema.const]
  return Array.isArray(schema.enum) ? schema.enum : null
}

export function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

function plainType(type: unknown): string {
  return type === 'integer' ? 'number' : String(type)
}

function union(sets: Array<ReadonlySet<string> | null>): ReadonlySet<string> | null {
  if (sets.includes(null)) return null
  return new Set(sets.flatMap(set => [...(set ?? [])]))
}
