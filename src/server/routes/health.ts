import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import type { EngineStats, TierStats } from '../../engine/messages.js'
import type { ModelRegistry } from '../../models/registry.js'
import type { Model, Models } from '../../models/types.js'
import { ApiError, openaiErrorBody } from '../../protocol/errors.js'
import { residentBytes } from '../../resident-memory.js'
import { packageVersion } from '../../root.js'

/**
 * Probes, without key and without rate limit.
 * `/health/live`: the process answers. `/health/startup`: the default model has been ready once (or is loaded on
 * demand). `/health/ready`: a request would be taken now. `/health`: as `ready`, with a word on each model; `ok`,
 * `degraded` (the default model serves, something else is wrong) or `down`.
 */
const health: FastifyPluginAsync<{ models: Models; registry?: ModelRegistry }> = async (
  app,
  { models, registry }
) => {
  const config = { open: true, rateLimit: false as const }
  const version = packageVersion()

  app.get('/health/live', { config }, async () => ({ status: 'ok' }))

  app.get('/health/startup', { config }, (_request, reply) => {
    const model = models.find(undefined)
    return answer(reply, model?.info ? 'ok' : statusOf(model, registry))
  })

  app.get('/health/ready', { config }, (_request, reply) =>
    answer(reply, statusOf(models.find(undefined), registry))
  )

  app.get('/health', { config }, (_request, reply) => {
    const status = statusOf(models.find(undefined), registry)
    const known: readonly Model[] = registry?.list() ?? models.list()
    const healthy = known.every(model => model.state !== 'failed' && model.breaker !== 'open')
    return answer(reply, status, {
      status: status !== 'ok' ? 'down' : healthy ? 'ok' : 'degraded',
      version,
      uptime_s: Math.round(process.uptime()),
      memory: {
        server_rss: residentBytes(),
        ...(registry ? { models: registry.memory.used, budget: finite(registry.memory.budget) } : {})
      },
      models: known.map(describe)
    })
  })
}

export default health

type Status = 'ok' | 'loading' | 'draining' | 'failed' | 'no_model'

/** A model that is not loaded yet is loaded for whoever asks, unless its breaker is open: that is ready enough. */
function statusOf(model: Model | undefined, registry: ModelRegistry | undefined): Status {
  if (!model) return 'no_model'
  if (registry?.draining) return 'draining'
  if (model.state === 'unloaded') return model.breaker === 'open' ? 'failed' : 'ok'
  return model.state === 'ready' ? 'ok' : model.state
}

function describe(model: Model) {
  const { id, state, progress, restarts, failure, breaker, stats } = model
  return {
    id,
    state,
    ...(state === 'loading' ? { progress } : {}),
    ...(failure ? { failure: failure.code } : {}),
    ...(breaker ? { breaker } : {}),
    restarts,
    ...(stats
      ? {
          memory: { engine_rss: stats.memoryBytes },
          pool: stats.pool,
          queue: { running: stats.running, waiting: stats.waiting, waiting_tokens: stats.waitingTokens },
          ...(stats.tiers ? { cache: describeCache(stats) } : {})
        }
      : {})
  }
}

/** Bytes and pieces below the pool, and what the disk has had to put up with. */
function describeCache({ tiers, store }: EngineStats) {
  const figures = ({ used, cap }: TierStats, pieces = 0) => ({ used, cap, pieces })
  return {
    ...(tiers?.ram ? { ram: figures(tiers.ram, store?.pieces.ram) } : {}),
    ...(tiers?.disk
      ? {
          disk: {
            ...figures(tiers.disk, store?.pieces.disk),
            written_today: store?.disk?.writtenToday ?? 0,
            faults: store?.disk?.faults ?? {},
            paused: store?.disk?.pausedUntil != null
          }
        }
      : {})
  }
}

function finite(bytes: number): number | null {
  return Number.isFinite(bytes) ? bytes : null
}

const reasons: Record<Exclude<Status, 'ok'>, string> = {
  loading: 'it is being loaded.',
  draining: 'it takes no new requests.',
  failed: 'it could not be loaded.',
  no_model: 'there is none.'
}

/** 503 in the shape of an error, as llama-server's health has it, with the status beside. */
function answer(reply: FastifyReply, status: Status, more: Record<string, unknown> = {}): FastifyReply {
  reply.preventCache()
  if (status === 'ok') return reply.send({ status, ...more })
  const error = new ApiError('model_unavailable', { details: { reason: reasons[status] } })
  return reply.code(503).send({ status, reason: status, ...more, ...openaiErrorBody(error) })
}
