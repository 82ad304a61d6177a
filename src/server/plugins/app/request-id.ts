import { randomUUID } from 'node:crypto'
import fp from 'fastify-plugin'
import { speaksAnthropic } from '../../../protocol/anthropic/errors.js'

/** A client's own id is kept when it is harmless in logs and headers. */
const usableId = /^[\w.-]{1,128}$/

export function newRequestId(request: {
  headers: { [name: string]: string | string[] | undefined }
}): string {
  const given = request.headers['x-request-id']
  if (typeof given === 'string' && usableId.test(given)) return given
  return `req_${randomUUID().replaceAll('-', '')}`
}

/** `x-request-id` on every reply, errors included: set on arrival, before anything can refuse the request. */
export default fp(
  async app => {
    app.addHook('onRequest', async (request, reply) => {
      reply.header('x-request-id', request.id)
      // Anthropic's clients look for it under this name.
      if (speaksAnthropic(request.url)) reply.header('request-id', request.id)
    })
  },
  { name: 'request-id' }
)
