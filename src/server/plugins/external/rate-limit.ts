import rateLimit from '@fastify/rate-limit'
import fp from 'fastify-plugin'
import { ApiError } from '../../../protocol/errors.js'
import type { ServerOptions } from '../../options.js'

/** Requests a minute per API key or address. Routes with `config.rateLimit: false` (health) are left out. */
export default fp<{ config: ServerOptions }>(
  async (app, { config }) => {
    await app.register(rateLimit, {
      global: config.rateLimit > 0,
      max: config.rateLimit,
      timeWindow: 60_000,
      keyGenerator: request => request.caller.tenant,
      errorResponseBuilder: (_request, context) =>
        new ApiError('rate_limit_exceeded', {
          retryAfterMs: context.ttl,
          details: { limit: context.max, seconds: Math.ceil(context.ttl / 1000) }
        })
    })
  },
  { name: 'rate-limit', dependencies: ['auth'] }
)
