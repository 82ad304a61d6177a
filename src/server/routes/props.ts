import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { EngineGoneError, type Models } from '../../models/types.js'
import { toProps } from '../../protocol/llama-server.js'
import { packageVersion } from '../../root.js'
import { readyEngine } from '../generation/ready-engine.js'
import type { ServerOptions } from '../options.js'
import { findModel } from './find-model.js'
import { loadedInfo } from './loaded-model.js'

/** `GET /props`: what llama-server tells about its model; `?model=` names one. */
const props: FastifyPluginAsyncTypebox<{ models: Models; config: ServerOptions }> = async (
  app,
  { models, config }
) => {
  const querystring = Type.Object({ model: Type.Optional(Type.String()) })
  const version = packageVersion()
  app.get('/props', { schema: { querystring } }, async (request, reply) => {
    const model = findModel(models, request.query.model, app.embeddings)
    await readyEngine(model, reply, config.keepAliveMs)
    const info = loadedInfo(model)
    if (!model.capabilities) throw new EngineGoneError()
    return toProps(model.id, info, model.capabilities, version)
  })
}

export default props
