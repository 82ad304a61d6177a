import type { FastifyReply } from 'fastify'
import type { ModelInfo } from '../../engine/backend.js'
import type { Engine, Model } from '../../models/types.js'
import type { TurnMemory } from '../../protocol/answer/turn-memory.js'
import type { ConversationContext } from '../../protocol/conversation.js'
import type { ServerOptions } from '../options.js'
import { loadedInfo, templateOf } from '../routes/loaded-model.js'
import { readyEngine } from './ready-engine.js'

export interface Prepared {
  engine: Engine
  info: ModelInfo
  context: ConversationContext
}

/**
 * Has the model loaded, and gathers what a conversation with it needs.
 * @throws ModelUnavailableError, EngineGoneError
 */
export async function prepare(
  model: Model,
  reply: FastifyReply,
  { turns, config }: { turns: TurnMemory; config: Pick<ServerOptions, 'keepAliveMs'> }
): Promise<Prepared> {
  const engine = await readyEngine(model, reply, config.keepAliveMs)
  const info = loadedInfo(model)
  return {
    engine,
    info,
    context: {
      caller: reply.request.caller,
      vocabularySize: info.vocabularySize,
      render: input => templateOf(info).render(input),
      turns: { memory: turns, model: model.id },
      onBrokenCall: ({ name, message }) =>
        reply.log.warn({ tool: name, reason: message }, "a tool call breaks its tool's schema")
    }
  }
}
