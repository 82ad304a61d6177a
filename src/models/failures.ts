import { BackendError } from '../engine/backend.js'
import type { LoadFailure } from '../engine/messages.js'

/** A load that did not come to a working engine. */
export class LoadFailedError extends Error {
  constructor(readonly failure: LoadFailure) {
    super(failure.message)
    this.name = 'LoadFailedError'
  }
}

/**
 * What a failure says about the next try. `never`: the same file will fail again, so only another file or a person
 * starts it. `later`: memory was missing, which may change; nothing is started unless somebody asks, after a pause.
 * `soon`: restarted by itself, at a growing distance.
 */
export type RetryAdvice = 'never' | 'later' | 'soon'

const advice: Record<string, RetryAdvice> = {
  load_failed: 'never',
  layout_mismatch: 'never',
  library_missing: 'never',
  vocabulary_only: 'never',
  context_failed: 'later',
  out_of_memory: 'later'
}

export function retryAdvice(failure: LoadFailure): RetryAdvice {
  return advice[failure.code] ?? 'soon'
}

/** Whether an engine had it that was serving already. */
export function endedByItself({ code }: LoadFailure): boolean {
  return code === 'engine_crashed' || code === 'engine_stuck'
}

/** Why a start failed. */
export function startFailure(error: unknown): LoadFailure {
  if (error instanceof LoadFailedError) return error.failure
  if (error instanceof BackendError) return { code: error.code, message: error.message }
  return { code: 'engine_error', message: `the engine process cannot be started: ${String(error)}` }
}
