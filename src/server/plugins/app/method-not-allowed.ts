import type { FastifyInstance, HTTPMethods } from 'fastify'
import { ApiError } from '../../../protocol/errors.js'

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const satisfies HTTPMethods[]

/**
 * A known path asked with another method is a 405 with `allow`.
 * @returns to be called when all routes are registered; covers those registered since this call
 */
export function watchRoutes(app: FastifyInstance): { refuseOtherMethods(): void } {
  const allowed = new Map<string, Set<string>>()
  let complete = false

  app.addHook('onRoute', route => {
    if (complete || route.url.includes('*')) return
    const known = allowed.get(route.url) ?? new Set()
    for (const method of [route.method].flat()) known.add(method)
    allowed.set(route.url, known)
  })

  return {
    refuseOtherMethods() {
      complete = true
      for (const [url, known] of allowed) refuse(app, url, [...known])
    }
  }
}

function refuse(app: FastifyInstance, url: string, known: string[]): void {
  const allow = known.join(', ')
  app.route({
    method: methods.filter(method => !known.includes(method)),
    url,
    config: { open: true, rateLimit: false },
    schema: { hide: true },
    // Before a body is parsed: its content type does not matter any more.
    onRequest: async request => {
      throw new ApiError('method_not_allowed', {
        details: { path: request.url, method: request.method, allowed: allow },
        headers: { allow }
      })
    },
    handler: async () => {}
  })
}
