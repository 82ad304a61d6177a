import type { RequestEvent } from '../engine/messages.js'
import type { ApiError } from './errors.js'

/** Writes a request's events as the text of a server-sent event stream, in one protocol's words. Pure. */
export interface StreamEncoder {
  /** Keep-alives go on in every silence, not only until the first text. */
  readonly keepsAliveThroughout?: boolean
  /**
   * Text for one event; '' when the protocol has nothing to say about it. Never sees `failed` or a refusal.
   * @throws ApiError when the answer cannot go on; `failure` is asked for then
   */
  event(event: RequestEvent): string
  /** The stream ends here, and not as it should: no end marker follows. */
  failure(error: ApiError): string
  /** Keeps the connection alive while the first token takes its time. */
  keepAlive(): string
}
