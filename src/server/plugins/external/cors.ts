import cors from '@fastify/cors'
import fp from 'fastify-plugin'
import type { ServerOptions } from '../../options.js'

/** CORS headers for the pages of allowed origins; without any, no page of another origin can read an answer. */
export default fp<{ config: ServerOptions }>(
  async (app, { config }) => {
    if (config.corsOrigins.length === 0) return
    await app.register(cors, {
      origin: config.corsOrigins.includes('*') ? '*' : [...config.corsOrigins],
      methods: ['GET', 'HEAD', 'POST', 'DELETE'],
      exposedHeaders: [
        'x-request-id',
        'request-id',
        'retry-after',
        'retry-after-ms',
        'x-should-retry',
        'idempotent-replayed',
        'x-ratelimit-limit',
        'x-ratelimit-remaining',
        'x-ratelimit-reset',
        'x-octavo-cache',
        'x-octavo-rewritten-turns',
        'x-octavo-queue-running',
        'x-octavo-queue-waiting',
        'x-octavo-queue-limit',
        'x-octavo-queue-tokens',
        'x-octavo-queue-tokens-limit'
      ],
      maxAge: 600
    })
  },
  { name: 'cors' }
)
