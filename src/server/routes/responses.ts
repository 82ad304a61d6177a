import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from 'typebox'
import type { Models } from '../../models/types.js'
import { AnswerReader } from '../../protocol/answer/reader.js'
import type { TurnMemory } from '../../protocol/answer/turn-memory.js'
import { ApiError } from '../../protocol/errors.js'
import { listInputItems, withIds } from '../../protocol/openai/responses/item-list.js'
import { resolveReferences, type StoredItem } from '../../protocol/openai/responses/items.js'
import { newId, newResponse, type ResponseObject } from '../../protocol/openai/responses/object.js'
import {
  checkPromptFields,
  checkResponseRequest,
  planResponse,
  responseParamNames,
  toResponseInput,
  wantsOutputLogprobs
} from '../../protocol/openai/responses/request.js'
import { InputTokensRequest, ResponseRequest } from '../../protocol/openai/responses/schema.js'
import type { ResponseStore } from '../../protocol/openai/responses/store.js'
import { ResponseStreamEncoder } from '../../protocol/openai/responses/stream.js'
import { ResponseWriter } from '../../protocol/openai/responses/writer.js'
import { collect } from '../generation/collect.js'
import { prepare, preparePlan } from '../generation/prepare.js'
import { respondWithStream } from '../generation/respond.js'
import { tellRewritten } from '../generation/rewritten-header.js'
import type { ServerOptions } from '../options.js'
import { findModel } from './find-model.js'

export interface ResponsesOptions {
  models: Models
  config: ServerOptions
  turns: TurnMemory
  store: ResponseStore
}

const params = Type.Object({ id: Type.String() })
const listQuery = Type.Object({
  after: Type.Optional(Type.String()),
  limit: Type.Optional(Type.String({ pattern: '^([1-9][0-9]?|100)$' })),
  order: Type.Optional(Type.Enum(['asc', 'desc']))
})

/** `POST /responses`, and what is stored of it. */
const responses: FastifyPluginAsyncTypebox<ResponsesOptions> = async (
  app,
  { models, config, turns, store }
) => {
  app.post('/responses', { schema: { body: ResponseRequest } }, async (request, reply) => {
    const { body, caller } = request
    const model = findModel(models, body.model, app.embeddings)
    checkResponseRequest(body)
    const { input, before } = readInput(body, caller.salt)
    const conversation = [...before, ...input]
    const words = { paramNames: responseParamNames(body), promptParam: 'input' }
    const { engine, plan } = await preparePlan(model, reply, { turns, config }, words, context =>
      planResponse(body, conversation, context)
    )
    tellRewritten(reply, plan.rewritten)
    const reader = new AnswerReader({ ...plan.reading, choices: 1, onFinish: plan.onFinish })
    const keep = (response: ResponseObject) => {
      if (body.store === false) return
      const output = response.output as unknown as StoredItem[]
      store.add(caller.salt, { response, input, conversation: [...conversation, ...output] })
    }
    const writer = new ResponseWriter(newResponse(body, newId('resp'), model.id), reader, {
      logprobs: wantsOutputLogprobs(body),
      encryptedReasoning: body.include?.includes('reasoning.encrypted_content') === true,
      demanded: plan.demanded,
      onComplete: keep
    })
    if (body.stream === true) {
      const encoder = new ResponseStreamEncoder(writer)
      const { keepAliveMs } = config
      return respondWithStream(reply, engine, plan.request, words, { encoder, keepAliveMs })
    }
    await collect(engine, plan.request, reply.raw, words, event => {
      writer.event(event)
    })
    return writer.response
  })

  app.post('/responses/input_tokens', { schema: { body: InputTokensRequest } }, async (request, reply) => {
    const { body, caller } = request
    const model = findModel(models, body.model, app.embeddings)
    const { input, before } = readInput(body, caller.salt)
    const { engine, context } = await prepare(model, reply, { turns, config })
    const { text, addSpecial } = context.render(toResponseInput(body, [...before, ...input]))
    const tokens = await engine.call('tokenize', { text, addSpecial, parseSpecial: true })
    return { object: 'response.input_tokens', input_tokens: tokens.length }
  })

  app.get('/responses/:id', { schema: { params } }, async request => findStored(request).response)

  app.delete('/responses/:id', { schema: { params } }, async request => {
    const { id } = request.params
    findStored(request)
    store.delete(request.caller.salt, id)
    return { id, object: 'response', deleted: true }
  })

  app.get('/responses/:id/input_items', { schema: { params, querystring: listQuery } }, async request => {
    const { conversation, response } = findStored(request)
    const before = conversation.slice(0, conversation.length - response.output.length)
    const { after, limit, order } = request.query
    return listInputItems(before, {
      after,
      limit: Number(limit ?? 20),
      order: order === 'asc' ? 'asc' : 'desc'
    })
  })

  /** The request's own items, and those of the conversation that it goes on with. */
  function readInput(body: Static<typeof InputTokensRequest>, owner: string) {
    checkPromptFields(body)
    const { input: given = [], previous_response_id: previous } = body
    const items = typeof given === 'string' ? [{ role: 'user' as const, content: given }] : given
    const input = withIds(resolveReferences(items, id => store.findItem(owner, id)))
    if (previous == null) return { input, before: [] }
    const stored = store.find(owner, previous)
    if (!stored) {
      throw new ApiError('previous_response_not_found', {
        param: 'previous_response_id',
        details: { id: previous.slice(0, 100) }
      })
    }
    return { input, before: stored.conversation }
  }

  function findStored(request: { params: { id: string }; caller: { salt: string } }) {
    const { id } = request.params
    const stored = store.find(request.caller.salt, id)
    if (stored) return stored
    throw new ApiError('response_not_found', { details: { id: id.slice(0, 100) } })
  }
}

export default responses
