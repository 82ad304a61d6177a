import sensible from '@fastify/sensible'
import fp from 'fastify-plugin'

/** HTTP helpers: `httpErrors` (their statuses are found again in the catalogue), `reply.preventCache()`, ... */
export default fp(
  async app => {
    await app.register(sensible)
  },
  { name: 'sensible' }
)
