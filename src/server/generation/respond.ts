import type { FastifyReply } from 'fastify'
import type { GenerationRequest } from '../../engine/messages.js'
import type { Engine } from '../../models/types.js'
import type { StreamEncoder } from '../../protocol/stream-encoder.js'
import { earlyReplyOf } from './early-reply.js'
import { EventStream } from './event-stream.js'
import { eventStreamHeaders } from './event-stream-headers.js'
import { type RefusalWords, submit } from './submit.js'

/**
 * Answers with a server-sent event stream. Headers go out when the engine has admitted the request, so that every
 * refusal is still a plain error reply; they do not wait for the first token.
 * @throws ApiError before anything was sent
 */
export async function respondWithStream(
  reply: FastifyReply,
  engine: Engine,
  request: GenerationRequest,
  words: RefusalWords,
  options: { encoder: StreamEncoder; keepAliveMs: number }
): Promise<FastifyReply> {
  const admitted: { stream?: EventStream } = {}
  await submit(engine, request, reply.raw, words, generation => {
    const stream = new EventStream({
      ...options,
      generation,
      onStart: () => reply.raw.flushHeaders()
    })
    admitted.stream = stream
    return event => stream.accept(event)
  })
  const early = earlyReplyOf(reply.raw)
  if (early !== undefined && admitted.stream !== undefined) return early.send(admitted.stream)
  return reply.headers(eventStreamHeaders).send(admitted.stream)
}
