import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionError, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { anthropicErrorBody, speaksAnthropic } from '../../../protocol/anthropic/errors.js'
import { ApiError, type ErrorCode, errorHeaders, openaiErrorBody } from '../../../protocol/errors.js'
import { engineAccessError } from '../../../protocol/outcomes.js'
import { type ValidationIssue, validationError } from '../../../protocol/validation.js'
import { earlyReplyOf } from '../../generation/early-reply.js'
import { ClientGoneError } from '../../generation/submit.js'
import { newRequestId } from './request-id.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The code of the error that its reply ended with, in mid-stream too. */
    errorCode: ErrorCode | null
  }
}

/** Every error of every route leaves through here, in one shape. */
export default fp(
  async app => {
    app.decorateRequest('errorCode', null)

    app.setErrorHandler((error: FastifyError, request, reply) => {
      // Nobody is there to read an answer.
      if (error instanceof ClientGoneError) return reply.hijack()
      const known = toApiError(error, request)
      const early = earlyReplyOf(reply.raw)
      request.errorCode = known.code
      if (known.status >= 500) request.log.error({ err: error, code: known.code }, 'request failed')
      return early === undefined ? sendError(reply, known) : early.fail(errorEvent(known, request))
    })

    app.setNotFoundHandler((request, reply) =>
      sendError(
        reply,
        new ApiError('not_found', { details: { method: request.method, path: request.url.slice(0, 200) } })
      )
    )
  },
  { name: 'errors' }
)

/** For a stream whose headers are out. */
function errorEvent(error: ApiError, request: FastifyRequest): string {
  if (!speaksAnthropic(request.url)) return `data: ${JSON.stringify(openaiErrorBody(error))}\n\n`
  return `event: error\ndata: ${JSON.stringify(anthropicErrorBody(error, request.id))}\n\n`
}

export function sendError(reply: FastifyReply, error: ApiError): FastifyReply {
  const { id, url } = reply.request
  reply.request.errorCode = error.code
  return reply
    .code(error.status)
    .headers(errorHeaders(error))
    .type('application/json; charset=utf-8')
    .send(speaksAnthropic(url) ? anthropicErrorBody(error, id) : openaiErrorBody(error))
}

/** Fastify's own refusals by their code. */
const fastifyCodes: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_body',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_MAX_PARAM_LENGTH: 'uri_too_long'
}

function toApiError(thrown: FastifyError, request: FastifyRequest): ApiError {
  const error = engineAccessError(thrown) as FastifyError
  if (error instanceof ApiError) return error
  if (error.validation) return validationError(error.validation as ValidationIssue[])
  if (error instanceof SyntaxError) return invalidJson(error)
  const code = fastifyCodes[error.code]
  if (code) {
    const limit = request.routeOptions.bodyLimit ?? request.server.initialConfig.bodyLimit ?? 0
    return new ApiError(code, { details: { limit, reason: error.message } })
  }
  const status = error.statusCode ?? 500
  if (status >= 400 && status < 500)
    return new ApiError('bad_request', { details: { reason: error.message } })
  return new ApiError('internal_error', { cause: error })
}

function invalidJson(error: SyntaxError): ApiError {
  return new ApiError('invalid_json', { details: { reason: error.message } })
}

/** A path that the router cannot read; comes before any hook. */
export function onFrameworkError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const code = fastifyCodes[error.code]
  reply.header('x-request-id', request.id)
  void sendError(
    reply,
    code ? new ApiError(code) : new ApiError('bad_request', { details: { reason: error.message } })
  )
}

const socketCodes: Record<string, ErrorCode> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  HPE_HEADER_OVERFLOW: 'headers_too_large'
}

/** Bytes that are no HTTP request: there is no reply object, so the answer is written to the socket. */
export function onClientError(error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const known = new ApiError(socketCodes[error.code] ?? 'bad_request', {
    details: { reason: 'This is not a valid HTTP request.' }
  })
  const body = JSON.stringify(openaiErrorBody(known))
  socket.end(
    [
      `HTTP/1.1 ${known.status} ${STATUS_CODES[known.status]}`,
      'content-type: application/json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      `x-request-id: ${newRequestId({ headers: {} })}`,
      'connection: close',
      '',
      body
    ].join('\r\n')
  )
}
