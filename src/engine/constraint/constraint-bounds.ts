/** Bounds that hold before a constraint is looked at more closely. */
import type { ConstraintInput } from './constraint.js'
import { ConstraintError } from './errors.js'
import { MAX_GRAMMAR_LENGTH } from './gbnf.js'
import { boundSchema } from './schema-bounds.js'

/** Each may have a schema of the full size. */
const MAX_TOOLS = 512

/**
 * Iterative, so that no nesting overflows the stack. Worth calling before a constraint is serialized.
 * @throws ConstraintError
 */
export function boundConstraint(constraint: ConstraintInput): void {
  switch (constraint.type) {
    case 'json_schema':
      boundSchema(constraint.schema, 'schema')
      return
    case 'grammar':
      if (constraint.grammar.length > MAX_GRAMMAR_LENGTH) {
        throw new ConstraintError('grammar', `longer than ${MAX_GRAMMAR_LENGTH} characters`)
      }
      return
    case 'tools':
      if (constraint.tools.length > MAX_TOOLS)
        throw new ConstraintError('tools', `more than ${MAX_TOOLS} tools`)
      for (const [i, { parameters }] of constraint.tools.entries()) {
        if (parameters !== undefined && parameters !== null) boundSchema(parameters, `tools/${i}/parameters`)
      }
      if (constraint.otherwise) boundConstraint(constraint.otherwise)
  }
}
