import type { Test } from 'tap'

/** The promise must be rejected with an error of this class, which is given back (tap compares fields, not classes). */
export async function rejects<E extends Error>(
  t: Test,
  promise: Promise<unknown>,
  kind: new (...args: never[]) => E
): Promise<E> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  t.ok(error instanceof kind, `${kind.name}, got ${error}`)
  return error as E
}
