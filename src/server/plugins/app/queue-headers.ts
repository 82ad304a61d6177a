import fp from 'fastify-plugin'
import type { QueueState } from '../../../engine/messages.js'
import { putBetween } from '../../generation/submitter.js'

/** The queue as a request met it, on its reply, admitted or refused. Names are in docs/overload.md. */
export default fp(
  async app => {
    app.addHook('preHandler', async (_request, reply) => {
      putBetween(
        reply.raw,
        next => (engine, request, onEvent) =>
          next(engine, request, event => {
            if (event.type === 'verdict' && 'queue' in event.verdict && event.verdict.queue && !reply.sent) {
              reply.headers(queueHeaders(event.verdict.queue))
            }
            onEvent(event)
          })
      )
    })
  },
  { name: 'queue-headers' }
)

export function queueHeaders(state: QueueState): Record<string, string> {
  const { running, waiting, maxWaiting, waitingTokens, maxWaitingTokens } = state
  return {
    'x-octavo-queue-running': String(running),
    'x-octavo-queue-waiting': String(waiting),
    'x-octavo-queue-limit': String(maxWaiting),
    'x-octavo-queue-tokens': String(waitingTokens),
    ...(maxWaitingTokens === null ? {} : { 'x-octavo-queue-tokens-limit': String(maxWaitingTokens) })
  }
}
