/**
 * What a client asked to constrain its output with cannot be used: a broken grammar, an unsupported schema keyword, a
 * schema that nothing satisfies. Always the client's to mend (HTTP 400), never a fault of the engine.
 */
export class ConstraintError extends Error {
  constructor(
    /** The field of the constraint, with a JSON pointer below it: `schema/properties/age/not`, `grammar`, `tools/0/parameters`. */
    readonly param: string,
    message: string
  ) {
    super(message)
    this.name = 'ConstraintError'
  }
}

/** A running constraint broke off (its thread died or was too slow): the request fails with `constraint_failed`. */
export class ConstraintFailedError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ConstraintFailedError'
  }
}
