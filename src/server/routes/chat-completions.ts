import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Models } from '../../models/types.js'
import { answerHead } from '../../protocol/openai/answer-head.js'
import { ChatAnswer } from '../../protocol/openai/chat-answer.js'
import { chatParamNames, checkChatRequest, toGenerationRequest } from '../../protocol/openai/chat-request.js'
import { ChatStreamEncoder } from '../../protocol/openai/chat-stream.js'
import { ChatRequest } from '../../protocol/openai/schema/chat.js'
import { collect } from '../generation/collect.js'
import { respondWithStream } from '../generation/respond.js'
import type { ServerOptions } from '../options.js'
import { findModel } from './find-model.js'
import { loadedInfo, templateOf } from './loaded-model.js'

/** `POST /chat/completions`: OpenAI's chat, whole or streamed. */
const chatCompletions: FastifyPluginAsyncTypebox<{ models: Models; config: ServerOptions }> = async (
  app,
  { models, config }
) => {
  app.post('/chat/completions', { schema: { body: ChatRequest } }, async (request, reply) => {
    const { body } = request
    const model = findModel(models, body.model)
    checkChatRequest(body)
    const engine = await model.engine()
    const info = loadedInfo(model)
    const generation = toGenerationRequest(body, {
      caller: request.caller,
      vocabularySize: info.vocabularySize,
      render: input => templateOf(info).render(input)
    })
    const words = { paramNames: chatParamNames(body), promptParam: 'messages' }
    const head = answerHead('chatcmpl', model.id, info.fingerprint)
    const { choices } = generation
    const logprobs = generation.logprobs !== null

    if (body.stream === true) {
      const includeUsage = body.stream_options?.include_usage === true
      const encoder = new ChatStreamEncoder(head, { choices, includeUsage, logprobs })
      const { keepAliveMs } = config
      return respondWithStream(reply, engine, generation, words, { encoder, keepAliveMs })
    }
    const answer = new ChatAnswer(head, choices, logprobs)
    await collect(engine, generation, reply.raw, words, event => answer.add(event))
    return answer.finish()
  })
}

export default chatCompletions
