import fp from 'fastify-plugin'

/** One line per answered request, at debug level for probes and at info for the rest. */
export default fp(
  async app => {
    app.addHook('onResponse', async (request, reply) => {
      const level = request.routeOptions.config.open ? 'debug' : 'info'
      request.log[level](
        {
          method: request.method,
          url: request.url,
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime)
        },
        'request'
      )
    })
  },
  { name: 'access-log' }
)
