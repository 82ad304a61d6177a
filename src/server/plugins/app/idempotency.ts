import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../../../protocol/errors.js'
import { putBetween, type Submitter } from '../../generation/submitter.js'
import { SharedGeneration } from '../../idempotency/shared-generation.js'
import { type Entry, IdempotencyStore } from '../../idempotency/store.js'
import type { Metrics } from '../../metrics/metrics.js'
import { onReplyEnd } from './reply-end.js'

/** A client that lost its connection at the very end tries again within seconds. */
const keepMs = 60_000
const mostBytes = 64 * 1024 * 1024
const mostKeys = 1000
const mostBytesOfOne = 16 * 1024 * 1024
const longestKey = 255

/**
 * `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request with the key, the caller and the body of one
 * that is under way, or ended within the last minute, listens to that one's computation instead of starting its own.
 * Refusals and failures are not kept. The same key with another body is a 422.
 */
export default fp<{ metrics: Metrics }>(
  async (app, { metrics }) => {
    const store = new IdempotencyStore({ keepMs, mostBytes, mostKeys })
    app.addHook('onClose', async () => store.clear())

    app.addHook('preHandler', async (request, reply) => {
      const key = keyOf(request)
      if (key === null) return
      const entry = store.enter(`${request.caller.tenant}\0${key}`, fingerprintOf(request))
      if (entry === null) throw new ApiError('idempotency_key_reused')
      onReplyEnd(reply.raw, () => store.leave(entry))
      putBetween(reply.raw, next => shared(next, entry, request, reply))
    })

    function shared(next: Submitter, entry: Entry, request: FastifyRequest, reply: FastifyReply): Submitter {
      let submitted = 0
      return (engine, generationRequest, onEvent) => {
        const number = submitted++
        let generation = entry.generations[number]
        if (generation?.canBeJoined) {
          metrics.idempotentJoins++
          reply.header('idempotent-replayed', 'true')
        } else {
          generation = new SharedGeneration({
            start: onEvent => next(engine, generationRequest, onEvent),
            mostBytes: mostBytesOfOne
          })
          entry.generations[number] = generation
        }
        return generation.join(event => {
          if (event.type === 'failed') request.errorCode ??= event.code
          onEvent(event)
        })
      }
    }
  },
  { name: 'idempotency', dependencies: ['errors', 'auth'] }
)

/** @throws ApiError when it is no key */
function keyOf(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key']
  if (key === undefined || request.method !== 'POST') return null
  if (typeof key === 'string' && key.length > 0 && key.length <= longestKey) return key
  const details = { reason: `The header Idempotency-Key must have 1 to ${longestKey} characters.` }
  throw new ApiError('bad_request', { details })
}

/** Equal for requests that ask for the same. */
function fingerprintOf(request: FastifyRequest): string {
  return createHash('sha256')
    .update(`${request.routeOptions.url}\0`)
    .update(JSON.stringify(request.body) ?? '')
    .digest('base64')
}
