/** Whether the branches of a oneOf exclude each other. */
import { isObject, type ObjectSchema, type Schema } from './schema-bounds.js'

/** No document satisfies two of them: their types differ, or a required property has different constants. */
export function disjoint(branches: Schema[]): boolean {
  const facts = branches.map(factsOf)
  return facts.every((a, i) => facts.slice(i + 1).every(b => apart(a, b)))
}

interface Facts {
  types: string[] | null
  values: unknown[] | null
  properties: Map<string, unknown[]>
}

function factsOf(schema: Schema): Facts {
  if (!isObject(schema)) return { types: schema ? null : [], values: null, properties: new Map() }
  const values = (part: ObjectSchema) =>
    part.const !== undefined ? [part.const] : Array.isArray(part.enum) ? part.enum : null
  const properties = new Map<string, unknown[]>()
  for (const name of (schema.required ?? []) as string[]) {
    const declared =
      isObject(schema.properties) && Object.hasOwn(schema.properties, name) ? schema.properties[name] : null
    const listed = isObject(declared) ? values(declared) : null
    if (listed) properties.set(name, listed)
  }
  const types = schema.type === undefined ? null : ([schema.type].flat() as string[])
  return {
    types: types?.map(type => (type === 'integer' ? 'number' : type)) ?? null,
    values: values(schema),
    properties
  }
}

function apart(a: Facts, b: Facts): boolean {
  const different = (x: unknown[], y: unknown[]) => {
    const texts = new Set(x.map(value => JSON.stringify(value)))
    return !y.some(value => texts.has(JSON.stringify(value)))
  }
  if (a.types && b.types && different(a.types, b.types)) return true
  if (a.values && b.values && different(a.values, b.values)) return true
  return [...a.properties].some(([name, values]) => {
    const other = b.properties.get(name)
    return other !== undefined && different(values, other)
  })
}
