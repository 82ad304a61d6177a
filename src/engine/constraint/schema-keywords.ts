/** What the keywords of a JSON Schema are to the compiler. */
import { ANNOTATIONS } from './merge.js'
import type { ObjectSchema } from './schema-bounds.js'

export const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']
export const KEYWORDS_OF_TYPE: Readonly<Record<string, string>> = {
  properties: 'object',
  required: 'object',
  additionalProperties: 'object',
  patternProperties: 'object',
  propertyNames: 'object',
  items: 'array',
  prefixItems: 'array',
  minItems: 'array',
  maxItems: 'array',
  pattern: 'string',
  format: 'string',
  minLength: 'string',
  maxLength: 'string',
  minimum: 'number',
  maximum: 'number',
  exclusiveMinimum: 'number',
  exclusiveMaximum: 'number',
  multipleOf: 'number'
}
export const COMPOSED = new Set([
  'type',
  'enum',
  'const',
  '$ref',
  'allOf',
  'anyOf',
  'oneOf',
  'additionalItems'
])

/** They are known, and no grammar holds them. */
export const UNENFORCEABLE = new Set([
  'not',
  'if',
  'then',
  'else',
  'dependencies',
  'dependentRequired',
  'dependentSchemas',
  'contains',
  'minContains',
  'maxContains',
  'uniqueItems',
  'minProperties',
  'maxProperties',
  '$anchor',
  '$dynamicAnchor',
  '$dynamicRef',
  '$recursiveRef',
  '$recursiveAnchor'
])

export function constrains(schema: ObjectSchema): boolean {
  return Object.keys(schema).some(keyword => !ANNOTATIONS.has(keyword) && !keyword.startsWith('x-'))
}

/** Keywords that cannot be broken by what the rest of the schema lets through. */
export function isImplied(keyword: string, value: unknown, schema: ObjectSchema): boolean {
  const required = new Set((schema.required ?? []) as string[])
  const closed = schema.additionalProperties === false && schema.patternProperties === undefined
  switch (keyword) {
    case 'uniqueItems':
      return value === false || Number(schema.maxItems ?? 2) < 2
    case 'minProperties':
      return Number(value) <= required.size
    case 'maxProperties':
      return closed && Number(value) >= Object.keys((schema.properties ?? {}) as object).length
    case 'unevaluatedProperties':
    case 'unevaluatedItems':
      return true
    default:
      return false
  }
}
