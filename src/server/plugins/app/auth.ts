import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../../../protocol/errors.js'
import type { Caller } from '../../../protocol/openai/chat-request.js'
import type { ServerOptions } from '../../options.js'

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller
  }
  interface FastifyContextConfig {
    /** Needs no API key (health). */
    open?: boolean
  }
}

/**
 * API keys, as `Authorization: Bearer` or `x-api-key`, and who the caller is. Keys are compared by their digests in
 * constant time, and only digests leave this file (cache keys end up on disk).
 */
export default fp<{ config: ServerOptions }>(
  async (app, { config }) => {
    const keys = config.apiKeys.map(digest)
    // Replaced in onRequest; a string as caller cannot be, so nothing is shared between requests.
    app.decorateRequest('caller', null as unknown as Caller)

    app.addHook('onRequest', async request => {
      request.caller = { salt: '', tenant: request.ip }
      if (keys.length === 0 || request.routeOptions.config.open) return
      const known = givenKeys(request)
        .map(given => findKey(keys, digest(given)))
        .find(key => key !== undefined)
      if (!known) throw new ApiError('invalid_api_key', { headers: { 'www-authenticate': 'Bearer' } })
      const name = known.toString('hex')
      request.caller = { salt: name, tenant: `key:${name.slice(0, 16)}` }
    })
  },
  { name: 'auth', dependencies: ['request-id'] }
)

/** Clients that know two kinds of keys send both headers: either will do. */
export function givenKeys(request: FastifyRequest): string[] {
  const bearer = /^Bearer +(.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const header = request.headers['x-api-key']
  return [bearer?.trim(), header].filter(key => typeof key === 'string')
}

/** Looks at every key, found or not. */
function findKey(keys: Buffer[], given: Buffer): Buffer | undefined {
  let found: Buffer | undefined
  for (const key of keys) if (timingSafeEqual(key, given)) found = key
  return found
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}
