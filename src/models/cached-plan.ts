import type { ModelPlan } from './hosting-options.js'
import { ModelUnavailableError } from './types.js'

/** What a model gets and takes, decided once for every load: its file is read for it. */
export class CachedPlan {
  readonly #decide: () => ModelPlan
  readonly #fileBytes: number
  #plan: ModelPlan | null = null

  /** @param fileBytes what it takes where that cannot be told */
  constructor(decide: () => ModelPlan, fileBytes: number) {
    this.#decide = decide
    this.#fileBytes = fileBytes
  }

  /** @throws BackendError when the file cannot be read, or does not say what it takes */
  get(): ModelPlan {
    this.#plan ??= this.#decide()
    return this.#plan
  }

  /** The next load is planned anew. */
  forget(): void {
    this.#plan = null
  }

  /** Bytes of memory. */
  bytes(): number {
    try {
      return this.get().bytes
    } catch {
      return this.#fileBytes
    }
  }

  /** @throws ModelUnavailableError where `get` throws */
  assertReadable(): void {
    try {
      this.get()
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      throw new ModelUnavailableError({ code: 'load_failed', message }, null)
    }
  }
}
