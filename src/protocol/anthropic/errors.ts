/** Errors as Anthropic's clients know them. */
import type { ApiError } from '../errors.js'

export interface AnthropicErrorBody {
  type: 'error'
  error: { type: string; message: string }
  request_id?: string
}

/** Whether a request's address belongs to Anthropic's API: its errors have another shape. */
export function speaksAnthropic(url: string): boolean {
  return /^(\/v1)?\/messages(?:[/?]|$)/.test(url)
}

const types: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error'
}

export function anthropicErrorBody(error: ApiError, requestId?: string): AnthropicErrorBody {
  const fallback = error.status < 500 ? 'invalid_request_error' : 'api_error'
  return {
    type: 'error',
    error: { type: types[error.status] ?? fallback, message: error.message },
    ...(requestId === undefined ? {} : { request_id: requestId })
  }
}
