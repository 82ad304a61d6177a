import type { FastifyPluginAsync } from 'fastify'
import type { Metrics } from '../metrics/metrics.js'

/** `GET /metrics`, for Prometheus. Needs a key where keys are set, as with llama-server; never rate limited. */
const metricsRoute: FastifyPluginAsync<{ metrics: Metrics }> = async (app, { metrics }) => {
  app.get('/metrics', { config: { rateLimit: false } }, async (_request, reply) => {
    reply.preventCache().type(metrics.registry.contentType)
    return metrics.registry.text()
  })
}

export default metricsRoute
