import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { putBetween, type Submitter } from '../../generation/submitter.js'
import type { Metrics } from '../../metrics/metrics.js'
import type { ServerOptions } from '../../options.js'

/**
 * A stream whose client takes no data is paused: its answer goes no further, but it holds cells. When the client has
 * taken nothing for so long, its connection is ended, and with it the request. The same holds for one that does not
 * take the rest of a finished answer.
 */
export default fp<{ config: ServerOptions; metrics: Metrics }>(
  async (app, { config, metrics }) => {
    const { slowClientMs } = config
    if (slowClientMs === 0) return

    app.addHook('preHandler', async (request, reply) => {
      putBetween(reply.raw, next => watched(next, request, reply.raw))
    })

    function watched(next: Submitter, request: FastifyRequest, response: ServerResponse): Submitter {
      let timer: NodeJS.Timeout | undefined
      let left = 0
      const stop = () => clearTimeout(timer)
      const start = (known: number) => {
        stop()
        if (response.destroyed) return
        left = known
        timer = setTimeout(look, slowClientMs).unref()
      }
      const look = () => {
        const now = unsent(response)
        if (now < left) start(now)
        else giveUp()
      }
      const giveUp = () => {
        metrics.slowClients++
        request.errorCode = 'slow_client'
        request.log.warn({ seconds: slowClientMs / 1000 }, 'the client takes no data, its request ends')
        // Whoever answers hears of it, and cancels what is under way.
        response.destroy()
      }
      let watching = false
      return (engine, generationRequest, onEvent) => {
        if (!watching) response.once('close', stop)
        watching = true
        const generation = next(engine, generationRequest, event => {
          onEvent(event)
          // The answer itself is not written yet.
          if (event.type === 'end') start(Number.POSITIVE_INFINITY)
        })
        return {
          cancel: () => generation.cancel(),
          pause: () => {
            start(unsent(response))
            generation.pause()
          },
          resume: () => {
            stop()
            generation.resume()
          }
        }
      }
    }
  },
  { name: 'slow-client', dependencies: ['errors'] }
)

/** Bytes that wait for the client. */
function unsent(response: ServerResponse): number {
  return response.writableLength + (response.socket?.writableLength ?? 0)
}
