import type { FastifyPluginAsync } from 'fastify'
import type { Metrics } from '../metrics/metrics.js'
import type { ModelEntry } from '../metrics/sources.js'

/** `GET /stats`: the figures of `/metrics` that a person or a script asks for, as JSON, since the server's start. */
const statsRoute: FastifyPluginAsync<{ metrics: Metrics }> = async (app, { metrics }) => {
  app.get('/stats', { config: { rateLimit: false } }, async (_request, reply) => {
    reply.preventCache()
    const { rss, heapUsed, external } = process.memoryUsage()
    return {
      uptimeSeconds: Math.round(process.uptime()),
      memory: { rss, heapUsed, external },
      endpoints: metrics.endpoints.figures(),
      models: Object.fromEntries(metrics.entries().map(entry => [entry.id, describe(entry)]))
    }
  })
}

export default statsRoute

function describe({ counts, watched, stats, state }: ModelEntry) {
  const { totals } = watched
  return {
    state,
    requests: {
      submitted: counts.submitted,
      rejected: Object.fromEntries(counts.rejected),
      cancelled: counts.cancelled,
      failed: counts.failed
    },
    tokens: {
      prompt: counts.promptTokens,
      generated: counts.generatedTokens,
      cached: counts.hits
    },
    preemptions: totals.preemptions.total,
    restarts: totals.restarts.total,
    engine: stats && {
      running: stats.running,
      waiting: stats.waiting,
      waitingTokens: stats.waitingTokens,
      memoryBytes: stats.memoryBytes,
      pool: stats.pool,
      ...(stats.tiers ? { tiers: stats.tiers } : {}),
      ...(stats.store ? { store: stats.store } : {})
    }
  }
}
