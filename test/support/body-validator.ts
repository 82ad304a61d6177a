import { Ajv } from 'ajv'
import type { TSchema } from 'typebox'
import type { ValidationIssue } from '../../src/protocol/validation.js'

/** Validates as the server does. Returns the issues; empty: accepted. */
export function bodyValidator(schema: TSchema): (body: unknown) => ValidationIssue[] {
  const ajv = new Ajv({ discriminator: true, verbose: true, strict: false })
  const validate = ajv.compile(schema)
  return body => (validate(body) ? [] : ((validate.errors ?? []) as ValidationIssue[]))
}
