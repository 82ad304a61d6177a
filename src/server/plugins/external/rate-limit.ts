import rateLimit from '@fastify/rate-limit'
import fp from 'fastify-plugin'
import { ApiError } from '../../../protocol/errors.js'
import type { ServerOptions } from '../../options.js'

/** What is used of ioredis, and handed on to @fastify/rate-limit. */
export interface RedisClient {
  on(event: 'error' | 'ready', listener: (error: Error) => void): unknown
  quit(): Promise<unknown>
  disconnect(): void
}
export type RedisConstructor = new (url: string, options: object) => RedisClient

/** Whoever waits for Redis keeps a client waiting. */
const redisMs = 500

/**
 * Requests a minute per API key or address. Routes with `config.rateLimit: false` (health, metrics) are left out. While
 * Redis cannot be reached nobody is refused.
 */
export default fp<{ config: ServerOptions; loadRedis?: () => Promise<RedisConstructor> }>(
  async (app, { config, loadRedis = importRedis }) => {
    const limited = config.rateLimit > 0
    const redis = limited && config.rateLimitRedis ? await connect() : undefined

    await app.register(rateLimit, {
      global: limited,
      max: config.rateLimit,
      timeWindow: 60_000,
      keyGenerator: request => request.caller.tenant,
      ...(redis ? { redis, nameSpace: 'octavo-rate-limit-', skipOnError: true } : {}),
      errorResponseBuilder: (_request, context) =>
        new ApiError('rate_limit_exceeded', {
          retryAfterMs: context.ttl,
          details: { limit: context.max, seconds: Math.ceil(context.ttl / 1000) }
        })
    })

    async function connect(): Promise<RedisClient> {
      const Redis = await loadRedis()
      const client = new Redis(config.rateLimitRedis, {
        connectTimeout: redisMs,
        commandTimeout: redisMs,
        maxRetriesPerRequest: 1,
        enableOfflineQueue: false
      })
      // It tries again many times a second, and each time it fails is an event.
      let down = false
      client.on('error', error => {
        if (!down)
          app.log.warn({ err: error }, 'the Redis of the rate limit cannot be reached: nobody is refused')
        down = true
      })
      client.on('ready', () => {
        if (down) app.log.info('the Redis of the rate limit is there again')
        down = false
      })
      app.addHook('onClose', async () => {
        await client.quit().catch(() => client.disconnect())
      })
      return client
    }
  },
  { name: 'rate-limit', dependencies: ['auth'] }
)

/** Not a dependency: few need it. The name in a variable keeps the compiler from looking for it. */
async function importRedis(): Promise<RedisConstructor> {
  const name = 'ioredis'
  try {
    const { Redis }: { Redis: RedisConstructor } = await import(name)
    return Redis
  } catch (error) {
    throw new Error('--rate-limit-redis needs the npm package ioredis: npm install ioredis', { cause: error })
  }
}
