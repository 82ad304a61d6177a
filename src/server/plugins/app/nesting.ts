import fp from 'fastify-plugin'
import { ApiError } from '../../../protocol/errors.js'
import { mostLevels, nestedDeeper } from '../../../protocol/nesting.js'

/** Refuses bodies that are nested more deeply than anybody means. */
export default fp(
  async app => {
    app.addHook('preValidation', async ({ body }) => {
      if (!nestedDeeper(body)) return
      const reason = `The request body is nested deeper than ${mostLevels} levels.`
      throw new ApiError('bad_request', { details: { reason } })
    })
  },
  { name: 'nesting', dependencies: ['errors'] }
)
