import type { ServerResponse } from 'node:http'
import fp from 'fastify-plugin'
import type { RequestEvent } from '../../../engine/messages.js'
import type { Models } from '../../../models/types.js'
import { ApiError } from '../../../protocol/errors.js'
import { engineAccessError } from '../../../protocol/outcomes.js'
import { putBetween } from '../../generation/submitter.js'

/** Longest body that is logged, characters. */
const mostLogged = 32_000

/** What an engine did for a request, as far as it has been told. */
interface Work {
  prompt?: number
  cached?: number
  generated?: number
  /** Arrival in the engine to the first token, milliseconds. */
  ttftMs?: number
  failed?: string
}

/**
 * One line per request: model, tokens, cache, time to the first token, total time, status; 499 when the client left
 * before its answer was complete. What was asked is in it only where the operator wants that, what was answered never.
 * Probes are told at debug level.
 */
export default fp<{ models: Models; logPrompts: boolean }>(
  async (app, { models, logPrompts }) => {
    const done = new WeakMap<ServerResponse, Work>()

    app.addHook('preHandler', async (_request, reply) => {
      const work: Work = {}
      done.set(reply.raw, work)
      putBetween(
        reply.raw,
        next => (engine, request, onEvent) =>
          next(engine, request, event => {
            note(work, event)
            onEvent(event)
          })
      )
    })

    // A stream that began before its model was loaded has status 200 all the same.
    app.addHook('onError', async (_request, reply, error) => {
      const known = engineAccessError(error)
      const work = done.get(reply.raw)
      if (work && known instanceof ApiError) work.failed ??= known.code
    })

    app.addHook('onResponse', async (request, reply) => {
      const { method, url, body } = request
      const isProbe = request.routeOptions.url?.startsWith('/health') ?? false
      const named = typeof body === 'object' && body !== null && 'model' in body ? body.model : undefined
      const work = done.get(reply.raw) ?? {}
      request.log[isProbe ? 'debug' : 'info'](
        {
          method,
          url,
          status: reply.raw.writableFinished ? reply.statusCode : 499,
          ms: Math.round(reply.elapsedTime),
          ...(method === 'POST'
            ? { model: models.find(typeof named === 'string' ? named : undefined)?.id }
            : {}),
          ...work,
          ...(logPrompts && method === 'POST' ? { body: JSON.stringify(body)?.slice(0, mostLogged) } : {})
        },
        'request'
      )
    })
  },
  { name: 'access-log' }
)

function note(work: Work, event: RequestEvent): void {
  if (event.type === 'failed') work.failed = event.code
  const usage = event.type === 'end' || event.type === 'failed' ? event.usage : null
  if (usage) {
    const { resident, ram, disk } = usage.cached
    work.prompt = (work.prompt ?? 0) + usage.promptTokens
    work.cached = (work.cached ?? 0) + resident + ram + disk
    work.generated = (work.generated ?? 0) + usage.completionTokens
  }
  if (event.type === 'end') work.ttftMs ??= Math.round(event.timings.firstTokenMs)
}
