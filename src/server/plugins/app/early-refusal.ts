import { setImmediate as turn } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { plainRequest } from '../../../engine/plain-request.js'
import type { Models } from '../../../models/types.js'
import { submit } from '../../generation/submit.js'

/** Routes that generate, without `/v1`. */
const generating = new Set(['/chat/completions', '/completions', '/messages', '/responses'])

/**
 * While the queue of a request's model is full, the request is refused before its prompt is rendered: what is going to
 * be refused must cost less than what is going to be answered. It goes the way of every request to the engine, which
 * is not asked (see QueueGate), with a prompt of nothing in place of its own: so headers, counters and words are the same.
 *
 * A request with an `Idempotency-Key` may join one that is being computed, and needs no room then.
 */
export default fp<{ models: Models }>(
  async (app, { models }) => {
    app.addHook('preHandler', async (request, reply) => {
      const { url = '' } = request.routeOptions
      if (request.method !== 'POST' || !generating.has(url.replace(/^\/v1/, ''))) return
      if (request.headers['idempotency-key'] !== undefined) return
      const { model: name } = request.body as { model?: unknown }
      const model = models.find(typeof name === 'string' ? name : undefined)
      // A model that holds new requests back, for a swap, is not asked: the route waits for it as its client wants.
      if (model?.state !== 'ready' || model.loading !== null || model.full === false) return
      const engine = await model.engine()
      if (engine.full !== true) return
      await newsOfLeaving()
      if (engine.full !== true) return
      await submit(engine, plainRequest, reply.raw, { paramNames: {}, promptParam: '' }, generation => {
        // Cannot be: between the question and this nobody else had a turn.
        generation.cancel()
        return () => {}
      })
    })
  },
  { name: 'early-refusal', dependencies: ['errors', 'idempotency', 'queue-headers'] }
)

/**
 * Whoever hung up before this request came may not have been noticed yet: a socket that is at its end is closed after
 * the requests of the same turn have been read, and its listeners hear of it one turn later. See second-look.ts.
 */
async function newsOfLeaving(): Promise<void> {
  await turn()
  await turn()
}
