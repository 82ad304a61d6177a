import Fastify, { type FastifyInstance, LogController } from 'fastify'
import { TurnMemory } from '../protocol/answer/turn-memory.js'
import { ResponseStore } from '../protocol/openai/responses/store.js'
import { Metrics } from './metrics/metrics.js'
import type { AppOptions } from './options.js'
import accessLog from './plugins/app/access-log.js'
import auth from './plugins/app/auth.js'
import cacheHeader from './plugins/app/cache-header.js'
import deadlines from './plugins/app/deadlines.js'
import earlyRefusal from './plugins/app/early-refusal.js'
import errors, { onClientError, onFrameworkError } from './plugins/app/errors.js'
import hostGuard from './plugins/app/host-guard.js'
import idempotency from './plugins/app/idempotency.js'
import { watchRoutes } from './plugins/app/method-not-allowed.js'
import metricsPlugin from './plugins/app/metrics.js'
import nesting from './plugins/app/nesting.js'
import queueHeaders from './plugins/app/queue-headers.js'
import rehearsal, { Validators } from './plugins/app/rehearsal.js'
import requestId, { newRequestId } from './plugins/app/request-id.js'
import secondLook from './plugins/app/second-look.js'
import slowClient from './plugins/app/slow-client.js'
import cors from './plugins/external/cors.js'
import rateLimit from './plugins/external/rate-limit.js'
import sensible from './plugins/external/sensible.js'
import swagger from './plugins/external/swagger.js'
import admin from './routes/admin.js'
import chatCompletions from './routes/chat-completions.js'
import completions from './routes/completions.js'
import embeddingRoutes from './routes/embeddings.js'
import health from './routes/health.js'
import messages from './routes/messages.js'
import metricsRoute from './routes/metrics.js'
import models from './routes/models.js'
import props from './routes/props.js'
import responses from './routes/responses.js'
import statsRoute from './routes/stats.js'
import tokenize from './routes/tokenize.js'
import warmup from './routes/warmup.js'

/** Longest time for a request (not its answer) to arrive: a client that dawdles does not hold a socket for ever. */
const requestTimeoutMs = 120_000
/** Idle time between two requests on one connection; a running answer is never idle for the HTTP server. */
const keepAliveTimeoutMs = 75_000
/** What closing waits for: the last bytes of answers. Whoever wants running requests to finish drains the models first. */
const closeGraceMs = 1000
/** Model ids are file names and `owner/repo:quant`. */
const maxParamLength = 512

/**
 * The HTTP side, not listening yet. Order matters: a hook sees what the hooks before it have set.
 * The caller closes it.
 */
export async function buildApp({
  models: registry,
  embeddings = null,
  registry: managed,
  config,
  logger
}: AppOptions): Promise<FastifyInstance> {
  const validators = new Validators()
  const app: FastifyInstance = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: newRequestId,
    bodyLimit: config.bodyLimit,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    // While the server closes, the engine's own verdict (draining) answers, in the right shape.
    return503OnClosing: false,
    onProtoPoisoning: 'remove',
    onConstructorPoisoning: 'remove',
    routerOptions: { maxParamLength },
    frameworkErrors: onFrameworkError,
    clientErrorHandler: onClientError,
    ajv: {
      // The client's words are taken as they are: no coercion, nothing dropped, no defaults written in.
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
        discriminator: true,
        verbose: true
      },
      onCreate: validators.watch
    }
  })
  // Bodies are JSON. A text/plain body is also what a foreign page can send without asking first.
  app.removeContentTypeParser('text/plain')

  // Connections that never carried a request (clients open them in advance) count as busy and would hold up closing.
  app.addHook('preClose', async () => {
    setTimeout(() => app.server.closeAllConnections(), closeGraceMs).unref()
  })

  app.decorate('embeddings', embeddings)
  await app.register(errors)
  await app.register(rehearsal, { validators, events: registry.events })
  await app.register(secondLook)
  // Before anything that can refuse a request.
  const metrics = new Metrics({ prefix: config.metricsPrefix, models: registry, events: registry.events })
  await app.register(metricsPlugin, { models: registry, metrics })
  await app.register(requestId)
  await app.register(accessLog, { models: registry, logPrompts: config.logPrompts ?? false })
  await app.register(sensible)
  await app.register(hostGuard, { config })
  await app.register(nesting)
  await app.register(cors, { config })
  await app.register(auth, { config })
  await app.register(rateLimit, { config })

  // These stand between the routes and the engine, behind the second look and the metrics, the last next to the routes.
  await app.register(deadlines, { config })
  await app.register(idempotency, { metrics })
  await app.register(queueHeaders)
  await app.register(cacheHeader)
  await app.register(slowClient, { config, metrics })
  await app.register(earlyRefusal, { models: registry })

  // Shared by the routes and their aliases.
  const turns = new TurnMemory()
  const store = new ResponseStore()

  // Before the routes that it describes.
  await app.register(swagger)
  const routes = watchRoutes(app)
  await app.register(health, { models: registry, registry: managed })
  if (managed !== undefined) {
    await app.register(admin, { prefix: '/admin', registry: managed, adminKey: config.adminKey ?? '' })
  }
  await app.register(metricsRoute, { metrics })
  await app.register(statsRoute, { metrics })
  await app.register(tokenize, { models: registry, config })
  await app.register(props, { models: registry, config })
  for (const prefix of ['/v1', '']) {
    await app.register(models, { prefix, models: registry, embeddings })
    await app.register(completions, { prefix, models: registry, config })
    await app.register(embeddingRoutes, { prefix, models: registry, embeddings, metrics })
    await app.register(warmup, { prefix, models: registry, config, turns })
    await app.register(chatCompletions, { prefix, models: registry, config, turns })
    await app.register(responses, { prefix, models: registry, config, turns, store })
    await app.register(messages, { prefix, models: registry, config, turns })
  }
  routes.refuseOtherMethods()
  return app
}
