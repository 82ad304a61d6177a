import fp from 'fastify-plugin'
import type { GenerationRequest } from '../../../engine/messages.js'
import { putBetween } from '../../generation/submitter.js'
import type { ServerOptions } from '../../options.js'

/** Gives every generation the server's time limits, where its request set none of its own. */
export default fp<{ config: ServerOptions }>(
  async (app, { config }) => {
    const limits = config.deadlines
    if (limits.queue === null && limits.firstToken === null && limits.total === null) return

    app.addHook('preHandler', async (_request, reply) => {
      putBetween(reply.raw, next => (engine, request, onEvent) => next(engine, limited(request), onEvent))
    })

    function limited(request: GenerationRequest): GenerationRequest {
      const { queue, firstToken, total } = request.deadlines
      return {
        ...request,
        deadlines: {
          queue: queue ?? limits.queue,
          firstToken: firstToken ?? limits.firstToken,
          total: total ?? limits.total
        }
      }
    }
  },
  { name: 'deadlines' }
)
