import type { FastifyBaseLogger } from 'fastify'
import type { ModelRegistry } from '../models/registry.js'
import type { Models } from '../models/types.js'

/** What the HTTP side can be told. */
export interface ServerOptions {
  /** Address that is listened on; loopback addresses turn the guard against foreign pages on. */
  host: string
  /** Any of them opens the server; empty: no key is asked for. */
  apiKeys: readonly string[]
  /** Requests a minute per API key or address; 0: no limit. */
  rateLimit: number
  /** Origins (`https://example.com`) whose pages may use the server; `*`: all. */
  corsOrigins: readonly string[]
  /** Bytes. */
  bodyLimit: number
  /** Milliseconds between signs of life on a stream that waits for its first token; 0: none. */
  keepAliveMs: number
  /** Opens the routes under /admin; without one they answer to the local machine only. */
  adminKey?: string
}

export interface AppOptions {
  models: Models
  /** Where models can be managed as well: opens the routes under /admin. */
  registry?: ModelRegistry
  config: ServerOptions
  logger: FastifyBaseLogger
}
