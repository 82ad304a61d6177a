import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import type { Model, Models } from '../../models/types.js'
import { ApiError, openaiErrorBody } from '../../protocol/errors.js'

/**
 * Probes, without key and without rate limit.
 * `/health/live`: the process answers. `/health/startup`: the default model has been ready once (or is loaded on
 * demand). `/health/ready`: a request would be taken now. `/health`: as `ready`, with a word on each model.
 */
const health: FastifyPluginAsync<{ models: Models }> = async (app, { models }) => {
  const config = { open: true, rateLimit: false as const }

  app.get('/health/live', { config }, async () => ({ status: 'ok' }))

  app.get('/health/startup', { config }, (_request, reply) => {
    const model = models.find(undefined)
    return answer(reply, model?.info ? 'ok' : statusOf(model))
  })

  app.get('/health/ready', { config }, (_request, reply) => answer(reply, statusOf(models.find(undefined))))

  app.get('/health', { config }, (_request, reply) =>
    answer(reply, statusOf(models.find(undefined)), {
      models: models.list().map(({ id, state, progress, restarts, failure }) => ({
        id,
        state,
        ...(state === 'loading' ? { progress } : {}),
        ...(failure ? { failure: failure.code } : {}),
        restarts
      }))
    })
  )
}

export default health

type Status = 'ok' | 'loading' | 'draining' | 'failed' | 'no_model'

/** A model that is not loaded yet is loaded for whoever asks: that is ready enough. */
function statusOf(model: Model | undefined): Status {
  if (!model) return 'no_model'
  return model.state === 'ready' || model.state === 'unloaded' ? 'ok' : model.state
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
  return reply.code(503).send({ status, ...more, ...openaiErrorBody(error) })
}
