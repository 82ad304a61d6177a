import type { LoadFailure } from '../engine/messages.js'
import { type RetryAdvice, retryAdvice } from './failures.js'
import { fileSignature } from './file-signature.js'
import { ModelUnavailableError } from './types.js'

/** What went wrong with a model's engine last, and what that means for who asks now. Times are the clock's, milliseconds. */
export class Outage {
  #failure: LoadFailure | null = null
  /** Outlives an unload: why the breaker is open. */
  #last: LoadFailure | null = null
  #advice: RetryAdvice = 'soon'
  /** When it goes on. */
  #at = 0
  /** The model file as it was when loading it failed. */
  #file = ''

  /** null: nothing is wrong. */
  get failure(): LoadFailure | null {
    return this.#failure
  }

  get advice(): RetryAdvice {
    return this.#advice
  }

  begin(failure: LoadFailure, now: number): RetryAdvice {
    this.#failure = failure
    this.#last = failure
    this.#advice = retryAdvice(failure)
    this.#at = now
    return this.#advice
  }

  /** Somebody may try again from then on. */
  pauseUntil(at: number): void {
    this.#at = at
  }

  /** It is started again by itself then. */
  restartsAt(at: number): void {
    this.#advice = 'soon'
    this.#at = at
  }

  /** More has become known about a failure. */
  explain(failure: LoadFailure, message: string): void {
    const explained = { ...failure, message }
    if (this.#failure === failure) this.#failure = explained
    if (this.#last === failure) this.#last = explained
  }

  /** @param signature of the model file as it was when its load began */
  blame(signature: string): void {
    this.#file = signature
  }

  end(): void {
    this.#failure = null
  }

  /**
   * @param file path of the model's file
   * @param patienceMs callers wait so long for a start that is planned
   * @throws ModelUnavailableError where asking now is of no use
   */
  async assertWorthTrying(file: string, now: number, patienceMs: number): Promise<void> {
    const waitMs = Math.max(0, this.#at - now)
    if (this.#advice === 'soon' && waitMs > patienceMs) throw this.refusal(waitMs)
    if (this.#advice === 'later' && waitMs > 0) throw this.refusal(waitMs)
    if (this.#advice === 'never' && (await fileSignature(file)) === this.#file) throw this.refusal(null)
  }

  /** @param retryAfterMs null: trying again will not help */
  refusal(retryAfterMs: number | null): ModelUnavailableError {
    const failure = this.#failure ?? this.#last ?? unknown
    return new ModelUnavailableError(failure, retryAfterMs === null ? null : Math.ceil(retryAfterMs))
  }
}

const unknown: LoadFailure = { code: 'engine_error', message: 'the model is not available' }
