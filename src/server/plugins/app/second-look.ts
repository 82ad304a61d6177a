import fp from 'fastify-plugin'
import type { Engine } from '../../../models/types.js'
import { putBetween, type Submitter } from '../../generation/submitter.js'

/** How many requests have left each engine before their end. */
const departures = new WeakMap<Engine, number>()

/**
 * A request that comes in the same moment in which others leave can reach the engine before the news of their leaving:
 * Node tells of closed connections after it has read new requests. If the engine refuses it as one too many, and
 * somebody has left since, it is asked once more.
 */
export default fp(
  async app => {
    app.addHook('preHandler', async (_request, reply) => putBetween(reply.raw, lookAgain))
  },
  { name: 'second-look' }
)

const left = (engine: Engine) => departures.get(engine) ?? 0

export function lookAgain(next: Submitter): Submitter {
  return (engine, request, onEvent) => {
    const before = left(engine)
    let over = false
    let first = true
    let generation = next(engine, request, event => {
      const full = event.type === 'verdict' && event.verdict.kind === 'full'
      if (full && first && left(engine) > before) {
        first = false
        generation = next(engine, request, pass)
        return
      }
      pass(event)
    })
    const pass: typeof onEvent = event => {
      over ||= event.type === 'end' || event.type === 'failed'
      over ||= event.type === 'verdict' && event.verdict.kind !== 'admitted'
      onEvent(event)
    }
    return {
      cancel: () => {
        if (!over) departures.set(engine, left(engine) + 1)
        over = true
        generation.cancel()
      },
      pause: () => generation.pause(),
      resume: () => generation.resume()
    }
  }
}
