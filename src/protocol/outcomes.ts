/** What an engine says against a request, as an error of the catalogue. */
import type { FailureCode, Verdict } from '../engine/messages.js'
import { EngineGoneError, ModelUnavailableError } from '../models/types.js'
import { ApiError, type ErrorCode } from './errors.js'

type Refusal = Exclude<Verdict, { kind: 'admitted' }>

const fullReasons: Record<Extract<Verdict, { kind: 'full' }>['reason'], string> = {
  queue: 'too many requests wait',
  queued_tokens: 'too many prompt tokens wait',
  pool: 'no free cache cells'
}

/**
 * @param paramNames what the fields of a GenerationRequest are called in the protocol that the request came in
 * @param promptParam the protocol's field that holds the prompt
 */
export function refusalError(
  verdict: Refusal,
  paramNames: Record<string, string>,
  promptParam: string
): ApiError {
  switch (verdict.kind) {
    case 'full':
      return new ApiError('pool_exhausted', {
        retryAfterMs: verdict.retryAfterMs,
        details: { reason: fullReasons[verdict.reason], seconds: seconds(verdict.retryAfterMs) }
      })
    case 'tooLong':
      return new ApiError('context_length_exceeded', {
        param: promptParam,
        details: { promptTokens: verdict.promptTokens, limit: verdict.limit },
        extra: { n_prompt_tokens: verdict.promptTokens, n_ctx: verdict.limit }
      })
    case 'draining':
      return new ApiError('draining', { retryAfterMs: verdict.retryAfterMs })
    case 'invalid': {
      const name = paramName(verdict.param, paramNames)
      return new ApiError('invalid_value', { param: name, details: { name, reason: verdict.message } })
    }
  }
}

/**
 * A constraint's parameter is a path with a JSON pointer: `schema/properties/age`, `tools/0/parameters`. `parameters` in
 * the names is what protocols call the schema of a tool.
 */
function paramName(param: string, names: Record<string, string>): string {
  const [head = '', ...rest] = param.split('/')
  if (head === 'tools' && rest[1] === 'parameters') rest[1] = names.parameters ?? rest[1]
  return [names[head] ?? head, ...rest].join('.')
}

/** Restarting an engine takes about as long as mapping its model file. */
const crashRetryMs = 1000

const failureRetryMs: Partial<Record<FailureCode, number>> = {
  engine_crashed: crashRetryMs,
  queue_timeout: 1000,
  draining: 1000
}

/** A failure after admission. Every FailureCode is a code of the catalogue. */
export function failureError(code: FailureCode, message: string): ApiError {
  const known: ErrorCode = code
  return new ApiError(known, { retryAfterMs: failureRetryMs[code], details: { reason: message } })
}

/** Errors that `Model.engine()` and `Engine.submit()` throw; others are given back as they are. */
export function engineAccessError(error: unknown): unknown {
  if (error instanceof ModelUnavailableError) {
    const details = { reason: error.failure.message }
    if (error.failure.code === 'model_load_timeout') {
      return new ApiError('model_load_timeout', { details, retryAfterMs: error.retryAfterMs, cause: error })
    }
    if (error.failure.code === 'draining') {
      return new ApiError('draining', { retryAfterMs: error.retryAfterMs, cause: error })
    }
    return error.retryAfterMs === null
      ? new ApiError('model_load_failed', { details, cause: error })
      : new ApiError('model_unavailable', { details, retryAfterMs: error.retryAfterMs, cause: error })
  }
  if (error instanceof EngineGoneError)
    return new ApiError('engine_crashed', { retryAfterMs: crashRetryMs, cause: error })
  return error
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
