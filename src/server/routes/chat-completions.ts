import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Models } from '../../models/types.js'
import { AnswerReader } from '../../protocol/answer/reader.js'
import type { TurnMemory } from '../../protocol/answer/turn-memory.js'
import { answerHead } from '../../protocol/openai/answer-head.js'
import { ChatAnswer } from '../../protocol/openai/chat-answer.js'
import { chatParamNames, checkChatRequest, planChat } from '../../protocol/openai/chat-request.js'
import { ChatStreamEncoder } from '../../protocol/openai/chat-stream.js'
import { ChatRequest } from '../../protocol/openai/schema/chat.js'
import { collect } from '../generation/collect.js'
import { preparePlan } from '../generation/prepare.js'
import { respondWithStream } from '../generation/respond.js'
import { tellRewritten } from '../generation/rewritten-header.js'
import type { ServerOptions } from '../options.js'
import { findModel } from './find-model.js'

export interface ChatCompletionsOptions {
  models: Models
  config: ServerOptions
  turns: TurnMemory
}

/** `POST /chat/completions`: OpenAI's chat, whole or streamed. */
const chatCompletions: FastifyPluginAsyncTypebox<ChatCompletionsOptions> = async (
  app,
  { models, config, turns }
) => {
  app.post('/chat/completions', { schema: { body: ChatRequest } }, async (request, reply) => {
    const { body } = request
    const model = findModel(models, body.model, app.embeddings)
    checkChatRequest(body)
    const words = { paramNames: chatParamNames(body), promptParam: 'messages' }
    const { engine, info, plan } = await preparePlan(model, reply, { turns, config }, words, context =>
      planChat(body, context)
    )
    const { request: generation, reading, demanded, rewritten, onFinish } = plan
    tellRewritten(reply, rewritten)
    const head = answerHead('chatcmpl', model.id, info.fingerprint)
    const reader = new AnswerReader({ ...reading, choices: generation.choices, onFinish })
    const options = {
      demanded,
      logprobs: generation.logprobs !== null,
      legacyFunctions: body.tools === undefined && body.functions !== undefined
    }
    if (body.stream === true) {
      const includeUsage = body.stream_options?.include_usage === true
      const encoder = new ChatStreamEncoder(head, reader, { ...options, includeUsage })
      const { keepAliveMs } = config
      return respondWithStream(reply, engine, generation, words, { encoder, keepAliveMs })
    }
    const answer = new ChatAnswer(head, reader, options)
    await collect(engine, generation, reply.raw, words, event => answer.add(event))
    return answer.finish()
  })
}

export default chatCompletions
