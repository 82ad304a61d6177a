/** What ajv has against a body, in words for whoever wrote the body. */
import { ApiError, invalidValue } from './errors.js'

/** The part of ajv's ErrorObject that is used; `data` needs ajv's `verbose`. */
export interface ValidationIssue {
  keyword: string
  /** JSON pointer. */
  instancePath: string
  params: Record<string, unknown>
  message?: string
  data?: unknown
}

/** @param issues of one failed validation, not empty, in ajv's order: branches of a union before the union itself */
export function validationError(issues: readonly ValidationIssue[]): ApiError {
  const issue = mostTelling(issues)
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
      const expected = `${expectedTypes(issues, issue)}, got ${typeName(issue.data)}`
      return new ApiError('invalid_type', { param: name, details: { name, expected } })
    }
    case 'enum':
      return invalidValue(name, `it must be one of ${list(issue.params.allowedValues)}.`)
    case 'const':
      return invalidValue(name, `it must be ${show(issue.params.allowedValue)}.`)
    default:
      return invalidValue(name, `it ${issue.message ?? 'is not valid'}.`)
  }
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
