import type { ServerResponse } from 'node:http'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { EmbeddingModel } from '../../embeddings/types.js'
import type { Models } from '../../models/types.js'
import {
  checkDimensions,
  documentTexts,
  toEmbeddingAnswer,
  toInputs,
  toRerankAnswer
} from '../../protocol/openai/embedding.js'
import { EmbeddingRequest, RerankRequest } from '../../protocol/openai/schema/embedding.js'
import { ClientGoneError } from '../generation/submit.js'
import type { Metrics } from '../metrics/metrics.js'
import { embeddingError, findEmbeddingModel } from './find-embedding-model.js'

export interface EmbeddingRoutesOptions {
  models: Models
  /** null: the server has none. */
  embeddings: EmbeddingModel | null
  metrics: Metrics
}

/** `POST /embeddings`: OpenAI's. `POST /rerank`: Jina's, as llama-server has it. */
const embeddingRoutes: FastifyPluginAsyncTypebox<EmbeddingRoutesOptions> = async (
  app,
  { models, embeddings, metrics }
) => {
  const counted = <T extends { tokens: number }>(result: T, { id }: EmbeddingModel): T => {
    metrics.registry.count('embedding_tokens_total', { model_name: id }, result.tokens)
    return result
  }

  app.post('/embeddings', { schema: { body: EmbeddingRequest } }, async ({ body }, reply) => {
    const model = findEmbeddingModel(body.model, 'embedding', embeddings, models)
    const inputs = toInputs(body)
    checkDimensions(body, model.info.dimensions)
    const result = await whileConnected(reply.raw, 'input', signal => model.embed(inputs, signal))
    return toEmbeddingAnswer(counted(result, model), model.id, body.encoding_format)
  })

  for (const path of ['/rerank', '/reranking']) {
    app.post(path, { schema: { body: RerankRequest } }, async ({ body }, reply) => {
      const model = findEmbeddingModel(body.model, 'rerank', embeddings, models)
      const texts = documentTexts(body)
      const rank = (signal: AbortSignal) => model.rank(body.query, texts, signal)
      const result = await whileConnected(reply.raw, 'documents', rank)
      return toRerankAnswer(counted(result, model), model.id, body)
    })
  }
}

export default embeddingRoutes

/** Gives the work up when the client goes. */
async function whileConnected<T>(
  response: ServerResponse,
  field: string,
  work: (signal: AbortSignal) => Promise<T>
): Promise<T> {
  const gone = new AbortController()
  const onClose = () => gone.abort(new ClientGoneError())
  response.once('close', onClose)
  try {
    return await work(gone.signal)
  } catch (error) {
    throw embeddingError(error, field)
  } finally {
    response.off('close', onClose)
  }
}
