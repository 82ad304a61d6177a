/** Size limits for JSON schemas, and access to their parts. */
import { ConstraintError } from './errors.js'

export type Schema = boolean | { [keyword: string]: unknown }
export type ObjectSchema = { [keyword: string]: unknown }

const MAX_NODES = 10_000
const MAX_DEPTH = 100
const MAX_CHARACTERS = 512 * 1024

export function isObject(value: unknown): value is ObjectSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** @throws ConstraintError when the schema is no schema, too large or nested too deeply. */
export function boundSchema(schema: unknown, param: string): asserts schema is Schema {
  if (typeof schema !== 'boolean' && !isObject(schema)) {
    throw new ConstraintError(param, 'a JSON schema is an object or a boolean')
  }
  let nodes = 0
  let characters = 0
  const open: Array<[value: unknown, depth: number]> = [[schema, 0]]
  for (let top = open.pop(); top; top = open.pop()) {
    const [value, depth] = top
    if (depth > MAX_DEPTH)
      throw new ConstraintError(param, `the schema is nested deeper than ${MAX_DEPTH} levels`)
    if (++nodes > MAX_NODES) throw new ConstraintError(param, `the schema has more than ${MAX_NODES} values`)
    if (typeof value === 'string') characters += value.length
    if (typeof value !== 'object' || value === null) continue
    for (const [key, child] of Object.entries(value)) {
      characters += key.length
      open.push([child, depth + 1])
    }
    if (characters > MAX_CHARACTERS) {
      throw new ConstraintError(param, `the schema is longer than ${MAX_CHARACTERS} characters`)
    }
  }
}

/** Follows a local reference (`#`, `#/$defs/name`); undefined when there is nothing. */
export function resolvePointer(root: Schema, reference: string): Schema | undefined {
  if (reference !== '#' && !reference.startsWith('#/')) return undefined
  let at: unknown = root
  for (const part of reference.split('/').slice(1)) {
    let key: string
    try {
      key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
    } catch {
      return undefined
    }
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined
    at = (at as ObjectSchema)[key]
  }
  return typeof at === 'boolean' || isObject(at) ? at : undefined
}
