import fp from 'fastify-plugin'
import type { RequestEvent } from '../../../engine/messages.js'
import { prefixSourceHeader } from '../../../protocol/prefix-source.js'
import { putBetween } from '../../generation/submitter.js'

/**
 * `x-octavo-cache`: where the answer's prefix came from. On whole answers always. A stream's headers go out when the
 * request is admitted: they have it where the engine began in that same turn, which it does unless the request waits in
 * the queue, or for the disk. The usage says it in any case.
 */
export default fp(
  async app => {
    app.addHook('preHandler', async (_request, reply) => {
      putBetween(
        reply.raw,
        next => (engine, request, onEvent) =>
          next(engine, request, event => {
            const cached = cachedOf(event)
            if (cached && !reply.sent && !reply.raw.headersSent) {
              reply.header('x-octavo-cache', prefixSourceHeader(cached))
            }
            onEvent(event)
          })
      )
    })
  },
  { name: 'cache-header' }
)

function cachedOf(event: RequestEvent) {
  if (event.type === 'started') return event.cached
  return event.type === 'end' ? event.usage.cached : undefined
}
