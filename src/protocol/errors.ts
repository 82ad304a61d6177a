/**
 * The one catalogue of everything that a client can be refused with. `docs/errors.md` has a line for each entry; a test
 * compares the two.
 */

/** `error.type` of a reply: what a client may branch on when it does not know the code. */
export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'rate_limit_error'
  | 'rate_limit_exceeded'
  | 'server_error'

interface CatalogueEntry {
  /** HTTP status; what a reply gets when its headers are not out yet. */
  status: number
  type: ErrorType
  /** `{name}` is replaced by the detail of that name. */
  message: string
  /** Clients retry 408, 409, 429 and 5xx by themselves: false tells them that it would fail again. */
  retry?: false
}

export const errorCatalogue = {
  bad_request: { status: 400, type: 'invalid_request_error', message: '{reason}' },
  invalid_json: {
    status: 400,
    type: 'invalid_request_error',
    message: 'The request body is not valid JSON: {reason}'
  },
  invalid_body: {
    status: 400,
    type: 'invalid_request_error',
    message: 'The request body must be a JSON object.'
  },
  missing_required_parameter: {
    status: 400,
    type: 'invalid_request_error',
    message: "Missing required parameter: '{name}'."
  },
  invalid_type: {
    status: 400,
    type: 'invalid_request_error',
    message: "Invalid type for '{name}': expected {expected}."
  },
  invalid_value: {
    status: 400,
    type: 'invalid_request_error',
    message: "Invalid value for '{name}': {reason}"
  },
  unsupported_value: {
    status: 400,
    type: 'invalid_request_error',
    message: "Unsupported value for '{name}': {reason}"
  },
  context_length_exceeded: {
    status: 400,
    type: 'invalid_request_error',
    message:
      'The prompt has {promptTokens} tokens; with this model one request may use at most {limit} tokens, prompt and answer together.'
  },
  template_error: {
    status: 400,
    type: 'invalid_request_error',
    message: "The model's chat template refuses this conversation: {reason}"
  },
  previous_response_not_found: {
    status: 400,
    type: 'invalid_request_error',
    message: "There is no stored response '{id}' to go on with."
  },
  invalid_api_key: {
    status: 401,
    type: 'authentication_error',
    message: 'A valid API key is needed: send it as "Authorization: Bearer KEY" or "x-api-key: KEY".'
  },
  forbidden_host: {
    status: 403,
    type: 'permission_error',
    message: 'This server listens on the local machine only and does not answer to the host name {host}.'
  },
  forbidden_origin: {
    status: 403,
    type: 'permission_error',
    message: 'Pages of the origin {origin} may not use this server.'
  },
  invalid_admin_key: {
    status: 401,
    type: 'authentication_error',
    message: 'The admin key is needed: send it as "Authorization: Bearer KEY" or "x-api-key: KEY".'
  },
  admin_only_local: {
    status: 403,
    type: 'permission_error',
    message: 'Without an admin key the routes under /admin answer to the local machine only.'
  },
  not_found: { status: 404, type: 'invalid_request_error', message: 'There is no {method} {path}.' },
  model_not_found: {
    status: 404,
    type: 'invalid_request_error',
    message: "The model '{model}' does not exist. Available: {available}."
  },
  response_not_found: {
    status: 404,
    type: 'invalid_request_error',
    message: "There is no stored response '{id}'."
  },
  method_not_allowed: {
    status: 405,
    type: 'invalid_request_error',
    message: '{path} does not take {method}, only {allowed}.'
  },
  request_timeout: {
    status: 408,
    type: 'invalid_request_error',
    message: 'The request did not arrive in time.'
  },
  slow_client: {
    status: 408,
    type: 'invalid_request_error',
    message: 'The client did not read its answer for too long.',
    retry: false
  },
  swap_conflict: { status: 409, type: 'invalid_request_error', message: '{reason}', retry: false },
  body_too_large: {
    status: 413,
    type: 'invalid_request_error',
    message: 'The request body is larger than {limit} bytes.'
  },
  uri_too_long: { status: 414, type: 'invalid_request_error', message: 'The address is too long.' },
  unsupported_media_type: {
    status: 415,
    type: 'invalid_request_error',
    message: 'The request body must be sent as content-type application/json.'
  },
  idempotency_key_reused: {
    status: 422,
    type: 'invalid_request_error',
    message: 'This Idempotency-Key was used a moment ago for a request with another body.'
  },
  rate_limit_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    message: 'More than {limit} requests in a minute. Try again in {seconds} s.'
  },
  pool_exhausted: {
    status: 429,
    type: 'rate_limit_exceeded',
    message: 'The server is full ({reason}). Try again in {seconds} s.'
  },
  headers_too_large: {
    status: 431,
    type: 'invalid_request_error',
    message: 'The request headers are too large.'
  },
  internal_error: {
    status: 500,
    type: 'server_error',
    message: 'Something went wrong in the server. The request id is in the x-request-id header.'
  },
  engine_error: { status: 500, type: 'server_error', message: 'The engine could not go on: {reason}' },
  constraint_failed: {
    status: 500,
    type: 'server_error',
    message: 'The answer could not be kept within what the request demands: {reason}'
  },
  engine_crashed: {
    status: 503,
    type: 'server_error',
    message: "The model's engine process ended unexpectedly; it is being started again."
  },
  model_unavailable: { status: 503, type: 'server_error', message: 'The model cannot be used now: {reason}' },
  swap_failed: { status: 503, type: 'server_error', message: '{reason}', retry: false },
  model_load_failed: {
    status: 503,
    type: 'server_error',
    message: 'The model cannot be loaded: {reason}',
    retry: false
  },
  model_loading: {
    status: 503,
    type: 'server_error',
    message: 'The model {model} is not loaded yet ({state}). It should be ready in {seconds} s.'
  },
  model_load_timeout: {
    status: 503,
    type: 'server_error',
    message: 'The model was not loaded in time: {reason}'
  },
  draining: {
    status: 503,
    type: 'server_error',
    message: 'The server finishes its running requests and takes no new ones.'
  },
  queue_timeout: {
    status: 503,
    type: 'server_error',
    message: 'The request waited in the queue for too long.'
  },
  first_token_timeout: {
    status: 504,
    type: 'server_error',
    message: 'The first token took too long.',
    retry: false
  },
  total_timeout: { status: 504, type: 'server_error', message: 'The answer took too long.', retry: false }
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof errorCatalogue

export interface ApiErrorOptions {
  /** Fills the placeholders of the message. */
  details?: Record<string, string | number>
  /** The field of the client's request that is wrong. */
  param?: string | null
  /** When to try again; becomes `retry-after` and `retry-after-ms`. */
  retryAfterMs?: number | null
  /** Further members of the error object, e.g. `n_ctx`. */
  extra?: Record<string, unknown>
  /** Further reply headers. */
  headers?: Record<string, string>
  cause?: unknown
}

/** A refusal or failure with an entry in the catalogue. */
export class ApiError extends Error {
  readonly status: number
  readonly type: ErrorType
  readonly param: string | null
  readonly retryAfterMs: number | null
  readonly extra: Record<string, unknown>
  readonly headers: Record<string, string>

  constructor(
    readonly code: ErrorCode,
    options: ApiErrorOptions = {}
  ) {
    const entry: CatalogueEntry = errorCatalogue[code]
    const { stackTraceLimit } = Error
    // A client's mistake has no place in our code worth finding, and a refusal must be cheap.
    if (entry.status < 500) Error.stackTraceLimit = 0
    super(fill(entry.message, options.details ?? {}), { cause: options.cause })
    Error.stackTraceLimit = stackTraceLimit
    this.name = 'ApiError'
    this.status = entry.status
    this.type = entry.type
    this.param = options.param ?? null
    this.retryAfterMs = options.retryAfterMs ?? null
    this.extra = options.extra ?? {}
    this.headers = { ...options.headers, ...(entry.retry === false ? { 'x-should-retry': 'false' } : {}) }
  }
}

/** A field of the request has a value that cannot be used. */
export function invalidValue(name: string, reason: string): ApiError {
  return new ApiError('invalid_value', { param: name, details: { name, reason } })
}

/** A field of the request asks for something this server does not do. */
export function unsupportedValue(name: string, reason: string): ApiError {
  return new ApiError('unsupported_value', { param: name, details: { name, reason } })
}

function fill(template: string, details: Record<string, string | number>): string {
  return template.replace(/\{(\w+)\}/g, (placeholder, name) => String(details[name] ?? placeholder))
}

/** No client is asked to wait longer: the SDKs sleep as long as they are told. */
const longestRetryAfterMs = 60_000

/** Headers that go with an error: when to try again, or not to. */
export function errorHeaders(error: ApiError): Record<string, string> {
  if (error.retryAfterMs === null) return error.headers
  const ms = Math.min(Math.max(Math.ceil(error.retryAfterMs), 1), longestRetryAfterMs)
  return { ...error.headers, 'retry-after': String(Math.ceil(ms / 1000)), 'retry-after-ms': String(ms) }
}

/** OpenAI's shape. All four keys are always there; `code` is a string, never a number. */
export interface OpenAIErrorBody {
  error: {
    message: string
    type: string
    param: string | null
    code: string | null
    [extra: string]: unknown
  }
}

export function openaiErrorBody(error: ApiError): OpenAIErrorBody {
  return {
    error: {
      message: error.message,
      type: error.type,
      param: error.param,
      code: error.code,
      ...error.extra
    }
  }
}
