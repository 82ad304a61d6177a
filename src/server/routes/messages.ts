import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { EmbeddingModel } from '../../embeddings/types.js'
import type { Model, Models } from '../../models/types.js'
import { AnswerReader } from '../../protocol/answer/reader.js'
import type { TurnMemory } from '../../protocol/answer/turn-memory.js'
import { MessageAnswer, newMessageId } from '../../protocol/anthropic/answer.js'
import { messagesParamNames, planMessage, toPrompt } from '../../protocol/anthropic/request.js'
import { CountTokensRequest, MessagesRequest } from '../../protocol/anthropic/schema.js'
import { MessageStreamEncoder } from '../../protocol/anthropic/stream.js'
import { collect } from '../generation/collect.js'
import { prepare, preparePlan } from '../generation/prepare.js'
import { respondWithStream } from '../generation/respond.js'
import { tellRewritten } from '../generation/rewritten-header.js'
import type { ServerOptions } from '../options.js'
import { findModel } from './find-model.js'

export interface MessagesOptions {
  models: Models
  config: ServerOptions
  turns: TurnMemory
}

/** `POST /messages` and `POST /messages/count_tokens`: Anthropic's chat. `anthropic-version` and `-beta` may be anything. */
const messages: FastifyPluginAsyncTypebox<MessagesOptions> = async (app, { models, config, turns }) => {
  app.post('/messages', { schema: { body: MessagesRequest } }, async (request, reply) => {
    const { body } = request
    const model = findServing(models, body.model, app.embeddings)
    toPrompt(body)
    const words = { paramNames: messagesParamNames(body), promptParam: 'messages' }
    const { engine, plan } = await preparePlan(model, reply, { turns, config }, words, context =>
      planMessage(body, context)
    )
    const { request: generation, reading, demanded, rewritten, onFinish } = plan
    tellRewritten(reply, rewritten)
    const head = { id: newMessageId(), model: model.id }
    const reader = new AnswerReader({ ...reading, choices: 1, onFinish })
    if (body.stream === true) {
      const encoder = new MessageStreamEncoder(head, reader, demanded)
      const { keepAliveMs } = config
      return respondWithStream(reply, engine, generation, words, { encoder, keepAliveMs })
    }
    const answer = new MessageAnswer(head, reader, demanded)
    await collect(engine, generation, reply.raw, words, event => answer.add(event))
    return answer.finish()
  })

  app.post('/messages/count_tokens', { schema: { body: CountTokensRequest } }, async (request, reply) => {
    const { body } = request
    const model = findServing(models, body.model, app.embeddings)
    const { input, prefill } = toPrompt(body)
    const { engine, context } = await prepare(model, reply, { turns, config })
    const rendered = context.render(input)
    const { addSpecial } = rendered
    const tokens = await engine.call('tokenize', {
      text: rendered.text + prefill,
      addSpecial,
      parseSpecial: true
    })
    return { input_tokens: tokens.length }
  })
}

export default messages

/** Coding agents ask for Anthropic's models by name, some of them for small tasks beside: the default model serves them. */
function findServing(models: Models, name: string | undefined, embeddings: EmbeddingModel | null): Model {
  const known = name?.startsWith('claude-') ? models.find(name) : undefined
  return known ?? findModel(models, name?.startsWith('claude-') ? undefined : name, embeddings)
}
