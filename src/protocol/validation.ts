/** What ajv has against a body, in words for whoever wrote the body. */
import { ApiError, invalidValue } from './errors.js'

/** The part of ajv's ErrorObject that is used; `data` needs ajv's `verbose`. */
export interface ValidationIssue {
  keyword: string
  /** JSON pointer. */
  instancePath: string
  /** Where the keyword stands in the schema; tells the branches of a union apart. */
  schemaPath?: string
  /** What the keyword says (`verbose`). */
  schema?: unknown
  params: Record<string, unknown>
  message?: string
  data?: unknown
}

/** @param issues of one failed validation, not empty, in ajv's order: branches of a union before the union itself */
export function validationError(issues: readonly ValidationIssue[]): ApiError {
  const told = withoutOtherBranches(issues)
  const issue = mostTelling(told)
  const name = toName(issue.instancePath)
  if (name === '' && issue.keyword === 'type') return new ApiError('invalid_body')
  switch (issue.keyword) {
    case 'required': {
      const missing = join(name, String(issue.params.missingProperty))
      return new ApiError('missing_required_parameter', { param: missing, details: { name: missing } })
    }
    case 'discriminator': {
      const tag = join(name, String(issue.params.tag))
      if (issue.params.tagValue === undefined) {
        return new ApiError('missing_required_parameter', { param: tag, details: { name: tag } })
      }
      return invalidValue(tag, `${show(issue.params.tagValue)} is not known.`)
    }
    case 'type': {
      const expected = `${expectedTypes(told, issue)}, got ${typeName(issue.data)}`
      return new ApiError('invalid_type', { param: name, details: { name, expected } })
    }
    case 'enum':
    case 'const': {
      const allowed = allowedValues(told, issue)
      return invalidValue(name, `it must be ${allowed.length > 1 ? 'one of ' : ''}${list(allowed)}.`)
    }
    default:
      return invalidValue(name, `it ${issue.message ?? 'is not valid'}.`)
  }
}

/**
 * Objects of a union say by a tag which of its branches they are: what the other branches have against them is left out.
 * ajv stops at a branch's first error, so that the tags are looked at here.
 */
function withoutOtherBranches(issues: readonly ValidationIssue[]): readonly ValidationIssue[] {
  let left = issues
  for (const union of issues) {
    const { schema, schemaPath, data } = union
    if (union.keyword !== 'anyOf' || !Array.isArray(schema) || schemaPath === undefined) continue
    if (typeof data !== 'object' || data === null || Array.isArray(data)) continue
    const given = tags.filter(tag => tag in data && schema.some(branch => branch?.properties?.[tag]))
    const own = schema.map((branch, index) =>
      fitsTags(branch, data, given) ? `${schemaPath}/${index}/` : null
    )
    const paths = own.filter(path => path !== null)
    if (paths.length === 0) {
      const [tag] = given
      if (tag === undefined) continue
      const instancePath = union.instancePath
      return [{ keyword: 'discriminator', instancePath, params: { tag, tagValue: (data as Tagged)[tag] } }]
    }
    left = left.filter(
      issue =>
        !issue.schemaPath?.startsWith(`${schemaPath}/`) ||
        paths.some(path => issue.schemaPath?.startsWith(path))
    )
  }
  return left
}

const tags = ['type', 'role'] as const
type Tagged = Partial<Record<(typeof tags)[number], unknown>>

/** No tag of the object speaks against this branch, and one for it where it has any. */
function fitsTags(branch: unknown, data: object, given: ReadonlyArray<keyof Tagged>): boolean {
  const { type, properties, required } = (branch ?? {}) as Branch
  if (type !== undefined && type !== 'object') return false
  if (given.length > 0 && !given.some(tag => properties?.[tag])) return false
  return tags.every(tag => {
    const value = (data as Tagged)[tag]
    const allowed = valuesOf(properties?.[tag])
    if (allowed === null) return true
    return value === undefined ? required?.includes(tag) !== true : allowed.includes(value)
  })
}

interface Branch {
  type?: unknown
  properties?: Record<string, unknown>
  required?: string[]
}

/** The values that a schema lists; null: any. */
function valuesOf(schema: unknown): unknown[] | null {
  const { const: one, enum: listed, anyOf, type } = (schema ?? {}) as Record<string, unknown>
  if (one !== undefined) return [one]
  if (Array.isArray(listed)) return listed
  if (type === 'null') return [null]
  if (!Array.isArray(anyOf)) return null
  const all = anyOf.map(valuesOf)
  return all.includes(null) ? null : all.flatMap(values => values ?? [])
}

/** What the branches of a union would have taken at this place. */
function allowedValues(issues: readonly ValidationIssue[], at: ValidationIssue): unknown[] {
  const values = issues
    .filter(issue => issue.instancePath === at.instancePath)
    .flatMap(({ keyword, params }) =>
      keyword === 'const'
        ? [params.allowedValue]
        : keyword === 'enum'
          ? (params.allowedValues as unknown[])
          : []
    )
  return [...new Set(values)]
}

/** Of a union's errors the deepest tells most: the branch that fitted best failed there. */
function mostTelling(issues: readonly ValidationIssue[]): ValidationIssue {
  const real = issues.filter(issue => issue.keyword !== 'anyOf' && issue.keyword !== 'oneOf')
  let best = real[0] ?? (issues[0] as ValidationIssue)
  for (const issue of real) if (rank(issue) > rank(best)) best = issue
  return best
}

/** Deeper first; at one place, a wrong value says more than a wrong type (of another branch). */
function rank(issue: ValidationIssue): number {
  const depth = issue.instancePath.split('/').length
  return depth * 2 + (issue.keyword === 'type' ? 0 : 1)
}

/** All types that the branches of a union would have taken at this place. */
function expectedTypes(issues: readonly ValidationIssue[], at: ValidationIssue): string {
  const types = issues
    .filter(issue => issue.keyword === 'type' && issue.instancePath === at.instancePath)
    .flatMap(issue => String(issue.params.type).split(','))
  const names = [...new Set(types)].map(type => (type === 'null' ? 'null' : article(type)))
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'an array'
  return article(typeof value)
}

function article(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`
}

/** `/messages/0/content` is `messages.0.content`, as OpenAI writes it. */
function toName(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .join('.')
}

function join(name: string, property: string): string {
  return name === '' ? property : `${name}.${property}`
}

function list(values: unknown): string {
  return Array.isArray(values) ? values.map(show).join(', ') : show(values)
}

function show(value: unknown): string {
  return typeof value === 'string' ? `'${value.slice(0, 80)}'` : JSON.stringify(value).slice(0, 80)
}
