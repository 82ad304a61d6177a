import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { ModelInfo } from '../../engine/backend.js'
import type { Engine, Models } from '../../models/types.js'
import { invalidValue } from '../../protocol/errors.js'
import {
  ApplyTemplateRequest,
  DetokenizeRequest,
  TokenizeRequest,
  toPiece
} from '../../protocol/llama-server.js'
import { toTemplateInput } from '../../protocol/openai/chat-request.js'
import { readyEngine } from '../generation/ready-engine.js'
import type { ServerOptions } from '../options.js'
import { findModel } from './find-model.js'
import { loadedInfo, templateOf } from './loaded-model.js'

/** `POST /tokenize`, `/detokenize` and `/apply-template`, as llama-server has them. */
const tokenizeRoutes: FastifyPluginAsyncTypebox<{ models: Models; config: ServerOptions }> = async (
  app,
  { models, config: { keepAliveMs } }
) => {
  app.post('/tokenize', { schema: { body: TokenizeRequest } }, async ({ body }, reply) => {
    const model = findModel(models, body.model, app.embeddings)
    const engine = await readyEngine(model, reply, keepAliveMs)
    const tokens = await tokensOf(body, engine, loadedInfo(model))
    if (body.with_pieces !== true) return { tokens }
    const pieces = await engine.call('pieces', { tokens })
    return { tokens: tokens.map((token, index) => toPiece(token, pieces[index] ?? [])) }
  })

  app.post('/detokenize', { schema: { body: DetokenizeRequest } }, async ({ body }, reply) => {
    const model = findModel(models, body.model, app.embeddings)
    const engine = await readyEngine(model, reply, keepAliveMs)
    const tokens = body.tokens ?? []
    checkTokens(tokens, loadedInfo(model), 'tokens')
    return { content: await engine.call('detokenize', { tokens, special: true }) }
  })

  app.post('/apply-template', { schema: { body: ApplyTemplateRequest } }, async ({ body }, reply) => {
    const model = findModel(models, body.model, app.embeddings)
    await readyEngine(model, reply, keepAliveMs)
    return { prompt: templateOf(loadedInfo(model)).render(toTemplateInput(body)).text }
  })
}

export default tokenizeRoutes

/** Special tokens come around the first text only, as in llama-server. */
async function tokensOf(body: TokenizeRequest, engine: Engine, info: ModelInfo): Promise<number[]> {
  const parts = typeof body.content === 'string' ? [body.content] : (body.content ?? [])
  const parseSpecial = body.parse_special ?? true
  const tokens: number[] = []
  let addSpecial = body.add_special ?? false
  for (const [index, part] of parts.entries()) {
    if (typeof part === 'number') {
      checkTokens([part], info, `content.${index}`)
      tokens.push(part)
      continue
    }
    for (const token of await engine.call('tokenize', { text: part, addSpecial, parseSpecial }))
      tokens.push(token)
    addSpecial = false
  }
  return tokens
}

/** @throws ApiError for what is not in the vocabulary */
function checkTokens(tokens: number[], { vocabularySize }: ModelInfo, name: string): void {
  const wrong = tokens.find(token => token < 0 || token >= vocabularySize)
  if (wrong === undefined) return
  throw invalidValue(name, `token ${wrong} is not in the vocabulary (0 to ${vocabularySize - 1}).`)
}
