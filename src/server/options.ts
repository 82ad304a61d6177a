import type { EventEmitter } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import type { EmbeddingModel } from '../embeddings/types.js'
import type { GenerationRequest } from '../engine/messages.js'
import type { ModelEvents } from '../models/events.js'
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
  /** Redis that counts for the rate limit, shared with other servers; '': this process counts. */
  rateLimitRedis: string
  /** Time limits of every generation, milliseconds; null: none. */
  deadlines: GenerationRequest['deadlines']
  /** Milliseconds after which a stream whose client takes no data is ended; 0: never. */
  slowClientMs: number
  /** Begins the names of all metrics. */
  metricsPrefix: string
  /** Origins (`https://example.com`) whose pages may use the server; `*`: all. */
  corsOrigins: readonly string[]
  /** Bytes. */
  bodyLimit: number
  /** Milliseconds between signs of life on a stream that waits for its first token; 0: none. */
  keepAliveMs: number
  /** Opens the routes under /admin; without one they answer to the local machine only. */
  adminKey?: string
  /** What requests ask is part of their line in the log. Default: it is not. */
  logPrompts?: boolean
}

export interface AppOptions {
  /** `events`: what happens to them, for the metrics. */
  models: Models & { readonly events?: EventEmitter<ModelEvents> }
  /** Makes vectors, or ranks documents; left out or null: nothing does. */
  embeddings?: EmbeddingModel | null
  /** Where models can be managed as well: opens the routes under /admin. */
  registry?: ModelRegistry
  config: ServerOptions
  logger: FastifyBaseLogger
}
