import type { FastifyReply } from 'fastify'
import type { ModelInfo } from '../../engine/backend.js'
import type { GenerationRequest } from '../../engine/messages.js'
import type { Engine, Model } from '../../models/types.js'
import type { TurnMemory } from '../../protocol/answer/turn-memory.js'
import type { ConversationContext } from '../../protocol/conversation.js'
import { refusalError } from '../../protocol/outcomes.js'
import type { ServerOptions } from '../options.js'
import { loadedInfo, templateOf } from '../routes/loaded-model.js'
import { readyEngine } from './ready-engine.js'
import type { RefusalWords } from './submit.js'

export interface Shared {
  turns: TurnMemory
  config: Pick<ServerOptions, 'keepAliveMs'>
}

export interface Prepared {
  engine: Engine
  info: ModelInfo
  context: ConversationContext
}

/**
 * Has the model loaded, and gathers what a conversation with it needs.
 * @throws ModelUnavailableError, EngineGoneError
 */
export async function prepare(model: Model, reply: FastifyReply, shared: Shared): Promise<Prepared> {
  const engine = await readyEngine(model, reply, shared.config.keepAliveMs)
  const info = loadedInfo(model)
  return { engine, info, context: contextOf(model, info, reply, shared) }
}

/**
 * The same for a request that generates. It is planned with the vocabulary alone first where the model is not loaded:
 * what is wrong with it is told before the load, and before a stream's headers.
 * @param plan from the request to the engine's; must not have an effect
 * @throws ApiError, ModelUnavailableError, EngineGoneError
 */
export async function preparePlan<P extends { request: GenerationRequest }>(
  model: Model,
  reply: FastifyReply,
  shared: Shared,
  words: RefusalWords,
  plan: (context: ConversationContext, info: ModelInfo) => P
): Promise<Prepared & { plan: P }> {
  const engine = await readyEngine(model, reply, shared.config.keepAliveMs, async vocabulary => {
    const { info } = vocabulary
    const { request } = plan(contextOf(model, info, reply, shared), info)
    const refusal = await vocabulary.examine(request)
    if (refusal !== null) throw refusalError(refusal, words.paramNames, words.promptParam)
  })
  const info = loadedInfo(model)
  const context = contextOf(model, info, reply, shared)
  return { engine, info, context, plan: plan(context, info) }
}

function contextOf(
  model: Model,
  info: ModelInfo,
  reply: FastifyReply,
  { turns }: Shared
): ConversationContext {
  return {
    caller: reply.request.caller,
    vocabularySize: info.vocabularySize,
    render: input => templateOf(info).render(input),
    turns: {
      memory: turns,
      model: `${model.id}\0${info.fingerprint}`,
      // Other tokenizers put a blank in front of every text.
      tokens: info.tokenizer === 'gpt2'
    },
    onBrokenCall: ({ name, message }) =>
      reply.log.warn({ tool: name, reason: message }, "a tool call breaks its tool's schema")
  }
}
