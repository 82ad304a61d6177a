import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Model, Models } from '../../models/types.js'
import { findModel } from './find-model.js'

/** `GET /models` and `GET /models/:id`. */
const modelRoutes: FastifyPluginAsyncTypebox<{ models: Models }> = async (app, { models }) => {
  app.get('/models', async () => ({ object: 'list', data: models.list().map(describe) }))

  const params = Type.Object({ id: Type.String() })
  app.get('/models/:id', { schema: { params } }, async request =>
    describe(findModel(models, request.params.id))
  )
}

export default modelRoutes

/** OpenAI's Model, `max_model_len` as vLLM has it, and `meta` as llama-server has it; the last two once it was loaded. */
function describe(model: Model) {
  const { info, capabilities } = model
  return {
    id: model.id,
    object: 'model',
    created: model.created,
    owned_by: 'octavo',
    aliases: model.aliases,
    state: model.state,
    ...(capabilities ? { max_model_len: capabilities.cellsPerSequence } : {}),
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
