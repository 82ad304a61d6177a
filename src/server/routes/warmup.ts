import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { GenerationRequest, RequestEvent } from '../../engine/messages.js'
import type { Models } from '../../models/types.js'
import type { TurnMemory } from '../../protocol/answer/turn-memory.js'
import { planChat } from '../../protocol/openai/chat-request.js'
import { toCompletionGeneration, toSegments } from '../../protocol/openai/completion-request.js'
import { ChatRequest } from '../../protocol/openai/schema/chat.js'
import { collect } from '../generation/collect.js'
import { type Prepared, prepare } from '../generation/prepare.js'
import type { ServerOptions } from '../options.js'
import { findModel } from './find-model.js'

const params = Type.Object({ id: Type.String() })
const { messages, tools, cache_salt } = ChatRequest.properties
const WarmupRequest = Type.Object({
  messages: Type.Optional(messages),
  tools,
  prompt: Type.Optional(Type.String({ minLength: 1 })),
  cache_salt
})
type WarmupRequest = Type.Static<typeof WarmupRequest>

export interface WarmupOptions {
  models: Models
  config: ServerOptions
  turns: TurnMemory
}

/**
 * `POST /models/:id/warmup`: loads the model, and computes a prompt (`messages`, with `tools`, or `prompt`) so that
 * requests that begin with it find it cached. One token is generated, by which everything has been used once.
 */
const warmup: FastifyPluginAsyncTypebox<WarmupOptions> = async (app, { models, config, turns }) => {
  app.addHook('preValidation', async request => {
    request.body ??= {}
  })

  app.post('/models/:id/warmup', { schema: { params, body: WarmupRequest } }, async (request, reply) => {
    const began = performance.now()
    const model = findModel(models, request.params.id, app.embeddings)
    const prepared = await prepare(model, reply, { turns, config })
    const loadedMs = performance.now() - began
    const { state } = model
    const answer = { id: model.id, object: 'model.warmup', state, load_ms: Math.round(loadedMs) }
    const generation = toGeneration(request.body, prepared)
    if (generation === null) return answer
    let end: Extract<RequestEvent, { type: 'end' }> | undefined
    const words = { paramNames: {}, promptParam: request.body.prompt === undefined ? 'messages' : 'prompt' }
    await collect(prepared.engine, generation, reply.raw, words, event => {
      if (event.type === 'end') end = event
    })
    const { resident = 0, ram = 0, disk = 0 } = end?.usage.cached ?? {}
    return {
      ...answer,
      prompt_tokens: end?.usage.promptTokens ?? 0,
      cached_tokens: resident + ram + disk,
      total_ms: Math.round(performance.now() - began)
    }
  })
}

export default warmup

/** null: there is nothing to compute. */
function toGeneration(body: WarmupRequest, { info, context }: Prepared): GenerationRequest | null {
  const common = { max_tokens: 1, temperature: 0, cache_salt: body.cache_salt }
  if (body.messages !== undefined) {
    const chat = { ...common, messages: withUserTurn(body.messages), tools: body.tools }
    return { ...planChat(chat, context).request, ignoreEndOfText: true }
  }
  if (body.prompt === undefined) return null
  const completion = { ...common, prompt: body.prompt }
  const segments = toSegments(body.prompt, {}, { ...info, infill: null })
  return { ...toCompletionGeneration(completion, segments, context), ignoreEndOfText: true }
}

/**
 * A system prompt is followed by a user's turn: how that begins is part of what requests share, and some templates
 * write no system prompt without one.
 */
function withUserTurn(messages: NonNullable<WarmupRequest['messages']>): typeof messages {
  const last = messages.at(-1)?.role
  if (last !== 'system' && last !== 'developer') return messages
  return [...messages, { role: 'user', content: '' }]
}
