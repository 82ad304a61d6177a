import type { EmbeddingModel } from '../../embeddings/types.js'
import type { Model, Models } from '../../models/types.js'
import { ApiError, unsupportedValue } from '../../protocol/errors.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The model that does not generate text; null: the server has none. */
    embeddings: EmbeddingModel | null
  }
}

/**
 * A model that generates text.
 * @throws ApiError model_not_found, with the names that there are; unsupported_value for a model that does something else
 */
export function findModel(
  models: Models,
  name: string | undefined,
  embeddings: EmbeddingModel | null = null
): Model {
  const model = models.find(name)
  // A server that answers to any name still knows its own.
  const own = model !== undefined && (model.id === name || model.aliases.includes(name ?? ''))
  if (embeddings !== null && name === embeddings.id && !own) {
    const route = embeddings.info.kind === 'embedding' ? '/v1/embeddings' : '/v1/rerank'
    throw unsupportedValue('model', `'${embeddings.id}' does not support chat or completion; ask ${route}.`)
  }
  if (model) return model
  const available = models
    .list()
    .map(known => known.id)
    .join(', ')
  throw new ApiError('model_not_found', {
    param: 'model',
    details: { model: (name ?? 'default').slice(0, 200), available: available || 'none' }
  })
}
