import Fastify, { type FastifyInstance, LogController } from 'fastify'
import type { AppOptions } from './options.js'
import accessLog from './plugins/app/access-log.js'
import auth from './plugins/app/auth.js'
import errors, { onClientError, onFrameworkError } from './plugins/app/errors.js'
import hostGuard from './plugins/app/host-guard.js'
import { watchRoutes } from './plugins/app/method-not-allowed.js'
import requestId, { newRequestId } from './plugins/app/request-id.js'
import cors from './plugins/external/cors.js'
import rateLimit from './plugins/external/rate-limit.js'
import sensible from './plugins/external/sensible.js'
import chatCompletions from './routes/chat-completions.js'
import health from './routes/health.js'
import models from './routes/models.js'

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
export async function buildApp({ models: registry, config, logger }: AppOptions): Promise<FastifyInstance> {
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
      }
    }
  })
  // Bodies are JSON. A text/plain body is also what a foreign page can send without asking first.
  app.removeContentTypeParser('text/plain')

  // Connections that never carried a request (clients open them in advance) count as busy and would hold up closing.
  app.addHook('preClose', async () => {
    setTimeout(() => app.server.closeAllConnections(), closeGraceMs).unref()
  })

  await app.register(errors)
  await app.register(requestId)
  await app.register(accessLog)
  await app.register(sensible)
  await app.register(hostGuard, { config })
  await app.register(cors, { config })
  await app.register(auth, { config })
  await app.register(rateLimit, { config })

  const routes = watchRoutes(app)
  await app.register(health, { models: registry })
  for (const prefix of ['/v1', '']) {
    await app.register(models, { prefix, models: registry })
    await app.register(chatCompletions, { prefix, models: registry, config })
  }
  routes.refuseOtherMethods()
  return app
}
