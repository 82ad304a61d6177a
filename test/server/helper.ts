import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { Test } from 'tap'
import { buildApp } from '../../src/server/app.js'
import type { ServerOptions } from '../../src/server/options.js'
import { startServer } from '../../src/server/server.js'
import { type FakeModels, fakeModels } from './fake-engine.js'

export const defaultOptions: ServerOptions = {
  host: '127.0.0.1',
  apiKeys: [],
  rateLimit: 0,
  rateLimitRedis: '',
  deadlines: { queue: null, firstToken: null, total: null },
  slowClientMs: 60_000,
  metricsPrefix: 'octavo_',
  corsOrigins: [],
  bodyLimit: 8 * 1024 * 1024,
  keepAliveMs: 0
}

export const silent = pino({ level: 'silent' })

/** The app over a fake engine, closed when the test ends. */
export async function build(
  t: Test,
  options: Partial<ServerOptions> = {},
  models: FakeModels = fakeModels()
): Promise<{ app: FastifyInstance; models: FakeModels }> {
  const app = await buildApp({ models, config: { ...defaultOptions, ...options }, logger: silent })
  t.teardown(() => app.close())
  return { app, models }
}

/** The same, listening on a free port. */
export async function listen(
  t: Test,
  options: Partial<ServerOptions> = {},
  models: FakeModels = fakeModels()
): Promise<{ url: string; app: FastifyInstance; models: FakeModels }> {
  const config = { ...defaultOptions, ...options }
  const { app, address } = await startServer({ models, config, logger: silent, port: 0 })
  t.teardown(() => app.close())
  return { url: address, app, models }
}

export const hello = { messages: [{ role: 'user', content: 'Hello' }] }

/** Parses a whole event stream: its data lines as JSON ('[DONE]' as text) and its comments. */
export function parseEvents(body: string): { data: unknown[]; comments: string[] } {
  const lines = body.split('\n').filter(line => line !== '')
  const data = lines.filter(line => line.startsWith('data: ')).map(line => line.slice(6))
  return {
    data: data.map(text => (text === '[DONE]' ? text : JSON.parse(text))),
    comments: lines.filter(line => line.startsWith(':'))
  }
}
