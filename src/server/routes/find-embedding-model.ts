import type { EmbeddingModel } from '../../embeddings/types.js'
import { EmbeddingRefusal } from '../../embeddings/types.js'
import type { Models } from '../../models/types.js'
import { ApiError, invalidValue, unsupportedValue } from '../../protocol/errors.js'
import { refusalError } from '../../protocol/outcomes.js'

/**
 * The model for vectors or rankings: the one there is, asked for by its name, as `default`, or not at all.
 * @throws ApiError model_not_found; unsupported_value for a model that does something else
 */
export function findEmbeddingModel(
  name: string | undefined,
  kind: EmbeddingModel['info']['kind'],
  embeddings: EmbeddingModel | null,
  models: Models
): EmbeddingModel {
  if (embeddings && (name === undefined || name === 'default' || name === embeddings.id)) {
    if (embeddings.info.kind === kind) return embeddings
    throw unsupportedValue('model', `'${embeddings.id}' cannot do this; ${remedies[kind]}`)
  }
  const other = models.find(name)
  if (
    other &&
    (name === undefined || name === 'default' || other.id === name || other.aliases.includes(name))
  ) {
    throw unsupportedValue('model', `'${other.id}' generates text; ${remedy(kind, embeddings)}`)
  }
  // The other models answer to any name (alias `*`): so does this one.
  if (other && embeddings?.info.kind === kind) return embeddings
  throw new ApiError('model_not_found', {
    param: 'model',
    details: { model: (name ?? 'default').slice(0, 200), available: embeddings?.id ?? 'none' }
  })
}

const remedies: Record<EmbeddingModel['info']['kind'], string> = {
  embedding: 'start the server with --embedding-model and an embedding model.',
  rerank: 'start the server with --embedding-model and a reranking model.'
}

function remedy(kind: EmbeddingModel['info']['kind'], embeddings: EmbeddingModel | null): string {
  return embeddings?.info.kind === kind ? `ask '${embeddings.id}' instead.` : remedies[kind]
}

/**
 * What the embedding process has against a request, as an error of the catalogue; other errors are given back.
 * @param field what the inputs are called in the request
 */
export function embeddingError(error: unknown, field: string): unknown {
  if (!(error instanceof EmbeddingRefusal)) return error
  const { reason } = error
  switch (reason.kind) {
    case 'tooLong': {
      const { index, tokens, limit } = reason
      return refusalError({ kind: 'tooLong', promptTokens: tokens, limit }, {}, `${field}.${index}`)
    }
    case 'invalid':
      return invalidValue(`${field}.${reason.index}`, reason.message)
    case 'full':
      return refusalError({ ...reason, reason: 'queue' }, {}, field)
  }
}
