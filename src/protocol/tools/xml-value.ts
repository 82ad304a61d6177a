/** Values between tags, as JSON: texts stand there without quotes, so that the tool's schema has to tell what they are. */
import { isObject } from '../../engine/constraint/schema-bounds.js'
import { memberOf, typeOf, typesOf } from '../../engine/constraint/schema-types.js'

/** What a syntax without quotes needs to know of a tool. */
export interface TypedTool {
  name: string
  parameters: unknown
}

/** The types that the schema allows for an argument; null: not known. */
export function argumentTypes(
  tools: readonly TypedTool[],
  tool: string,
  argument: string
): ReadonlySet<string> | null {
  const parameters = tools.find(({ name }) => name === tool)?.parameters
  if (!isObject(parameters)) return null
  return typesOf(memberOf(parameters, argument, parameters), parameters)
}

/** Only a text is allowed: it can be passed on as it comes. */
export function isText(types: ReadonlySet<string> | null): boolean {
  return types?.size === 1 && types.has('string')
}

/** Inside of a JSON string. */
export function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

const PYTHON: Readonly<Record<string, string>> = { True: 'true', False: 'false', None: 'null' }

/** A whole value as JSON text. What is no JSON of an allowed type is a text. */
export function toJson(written: string, types: ReadonlySet<string> | null): string {
  if (isText(types)) return JSON.stringify(written)
  const trimmed = written.trim()
  const candidate = PYTHON[trimmed] ?? trimmed
  const value = parse(candidate)
  if (value === undefined) return JSON.stringify(written)
  const allowed = types === null || types.has(typeOf(value)) || !types.has('string')
  return allowed ? candidate : JSON.stringify(written)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
