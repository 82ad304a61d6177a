import { createHash } from 'node:crypto'
import type { ConstraintError } from './errors.js'

/** As many refusals are remembered; each is a digest and a message. */
const MOST = 1000

/**
 * What has been refused is refused again at once: a grammar that takes until the time limit, or a thread, to be refused
 * costs that once.
 */
export class RefusedConstraints {
  /** Least recently used first. */
  readonly #known = new Map<string, { error: ConstraintError; until: number }>()

  /** @param forMs milliseconds */
  add(constraint: string, error: ConstraintError, forMs: number): void {
    this.#known.set(digest(constraint), { error, until: performance.now() + forMs })
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MOST) break
      this.#known.delete(oldest)
    }
  }

  get(constraint: string): ConstraintError | undefined {
    if (this.#known.size === 0) return undefined
    const key = digest(constraint)
    const refusal = this.#known.get(key)
    if (!refusal) return undefined
    this.#known.delete(key)
    if (refusal.until < performance.now()) return undefined
    this.#known.set(key, refusal)
    return refusal.error
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}
