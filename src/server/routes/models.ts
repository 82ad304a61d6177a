import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { EmbeddingModel } from '../../embeddings/types.js'
import type { Model, Models } from '../../models/types.js'
import { findModel } from './find-model.js'

export interface ModelRoutesOptions {
  models: Models
  /** null: the server has none. */
  embeddings: EmbeddingModel | null
}

/** `GET /models` and `GET /models/:id`: all that can be asked for, and with what. */
const modelRoutes: FastifyPluginAsyncTypebox<ModelRoutesOptions> = async (app, { models, embeddings }) => {
  app.get('/models', async () => ({
    object: 'list',
    data: [...models.list().map(describe), ...(embeddings ? [describeEmbeddings(embeddings)] : [])]
  }))

  const params = Type.Object({ id: Type.String() })
  app.get('/models/:id', { schema: { params } }, async ({ params: { id } }) =>
    id === embeddings?.id ? describeEmbeddings(embeddings) : describe(findModel(models, id))
  )
}

export default modelRoutes

/**
 * OpenAI's Model; `max_model_len` as vLLM and `meta` as llama-server have them, and what a request may hold and ask
 * for. Figures are there once the model was loaded.
 */
function describe(model: Model) {
  const { info, capabilities } = model
  return {
    ...head(model),
    aliases: model.aliases,
    state: model.state,
    kind: 'text',
    capabilities: ['chat', 'completion'],
    ...(capabilities ? lengths(capabilities.cellsPerSequence) : {}),
    ...(info
      ? {
          meta: {
            n_vocab: info.vocabularySize,
            n_ctx_train: info.trainingContext,
            n_embd: info.embeddingLength,
            n_params: info.parameters,
            size: info.bytes
          }
        }
      : {})
  }
}

function describeEmbeddings(model: EmbeddingModel) {
  const { info } = model
  return {
    ...head(model),
    aliases: [],
    state: model.state,
    kind: info.kind,
    capabilities: [info.kind],
    ...lengths(info.context),
    meta: {
      n_vocab: info.vocabularySize,
      n_ctx_train: info.context,
      n_embd: info.dimensions,
      size: info.bytes
    }
  }
}

function head({ id, created }: { id: string; created: number }) {
  return { id, object: 'model', created, owned_by: 'octavo' }
}

function lengths(tokens: number) {
  return { context_length: tokens, max_model_len: tokens }
}
