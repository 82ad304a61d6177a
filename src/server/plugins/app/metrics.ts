import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Models } from '../../../models/types.js'
import { putBetween, type Submitter } from '../../generation/submitter.js'
import type { Metrics } from '../../metrics/metrics.js'
import { RequestRecorder } from '../../metrics/request-recorder.js'
import { onReplyEnd } from './reply-end.js'

/** Measures every reply, and everything that is submitted to an engine. */
export default fp<{ models: Models; metrics: Metrics }>(
  async (app, { models, metrics }) => {
    app.addHook('onClose', async () => metrics.close())

    app.addHook('onRequest', async (request, reply) => {
      onReplyEnd(reply.raw, whole => count(request, reply, whole))
    })

    app.addHook('preHandler', async (request, reply) => {
      const arrived = performance.now() - reply.elapsedTime
      putBetween(reply.raw, next => recorded(next, request, modelOf(models, request) ?? 'unknown', arrived))
    })

    function count(request: FastifyRequest, reply: FastifyReply, whole: boolean): void {
      const { method } = request
      const route = request.routeOptions.url ?? 'unmatched'
      const status = String(whole ? reply.statusCode : 499)
      const labels = { model_name: modelOf(models, request) ?? '', route, method, status }
      metrics.registry.count('http_requests_total', labels)
      const { errorCode } = request
      if (errorCode !== null) metrics.registry.count('errors_total', { kind: errorCode })
      const outcome = errorCode !== null ? 'error' : whole ? 'ok' : 'aborted'
      metrics.endpoints.add(`${method} ${route}`, reply.elapsedTime, outcome)
    }

    function recorded(next: Submitter, request: FastifyRequest, model: string, arrived: number): Submitter {
      return (engine, generationRequest, onEvent) => {
        const recorder = new RequestRecorder(metrics.countsOf(model), arrived)
        const generation = next(engine, generationRequest, event => {
          recorder.event(event)
          if (event.type === 'failed') request.errorCode ??= event.code
          onEvent(event)
        })
        return {
          cancel: () => {
            recorder.cancelled()
            generation.cancel()
          },
          pause: () => generation.pause(),
          resume: () => generation.resume()
        }
      }
    }
  },
  { name: 'metrics', dependencies: ['errors'] }
)

const embeddingRoutes = /\/(embeddings|rerank|reranking)$/

/**
 * The model that a request names; null when it names none. Label values are those of models that there are, and
 * `unknown`: what clients send makes no series.
 */
function modelOf(models: Models, request: FastifyRequest): string | null {
  const { body } = request
  if (request.method !== 'POST' || typeof body !== 'object' || body === null) return null
  const name = 'model' in body ? body.model : undefined
  if (name !== undefined && name !== null && typeof name !== 'string') return null
  const { embeddings } = request.server
  const own = embeddingRoutes.test(request.routeOptions.url ?? '') && (name ?? 'default') === 'default'
  if (embeddings !== null && (own || name === embeddings.id)) return embeddings.id
  return models.find(name ?? undefined)?.id ?? 'unknown'
}
