import type { FastifyReply } from 'fastify'
import type { GenerationRequest } from '../../engine/messages.js'
import type { Engine } from '../../models/types.js'
import type { StreamEncoder } from '../../protocol/stream-encoder.js'
import { EventStream } from './event-stream.js'
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
  return (
    reply
      .header('content-type', 'text/event-stream; charset=utf-8')
      .header('cache-control', 'no-cache, no-transform')
      // Proxies (nginx) would hold chunks back.
      .header('x-accel-buffering', 'no')
      .send(admitted.stream)
  )
}
