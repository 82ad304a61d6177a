import { isIPv4, isIPv6 } from 'node:net'
import fp from 'fastify-plugin'
import { ApiError } from '../../../protocol/errors.js'
import type { ServerOptions } from '../../options.js'

/**
 * A server on loopback can be reached by every page that the user's browser opens. Two things are refused: a foreign
 * `Host` (DNS rebinding: the page's own name resolves to 127.0.0.1) and a foreign `Origin` (a page that sends without
 * reading the answer). Allowed CORS origins, and their host names (a proxy in front), are not foreign.
 */
export default fp<{ config: ServerOptions }>(
  async (app, { config }) => {
    if (!isLoopback(config.host)) return
    const allowedHosts = new Set(config.corsOrigins.map(hostOfOrigin))

    app.addHook('onRequest', async request => {
      const { host, origin } = request.headers
      if (host !== undefined) {
        const name = hostName(host)
        if (!isLoopback(name) && !allowedHosts.has(name)) {
          throw new ApiError('forbidden_host', { details: { host: printable(host) } })
        }
      }
      if (origin === undefined || config.corsOrigins.includes('*')) return
      const name = hostOfOrigin(origin)
      if (!isLoopback(name) && !allowedHosts.has(name)) {
        throw new ApiError('forbidden_origin', { details: { origin: printable(origin) } })
      }
    })
  },
  { name: 'host-guard', dependencies: ['request-id'] }
)

/** @param host a name or address without port; IPv6 with or without brackets */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[|\]$/g, '')
  if (isIPv4(name)) return name.startsWith('127.')
  if (isIPv6(name)) return name === '::1' || name.startsWith('::ffff:127.')
  return name === 'localhost' || name.endsWith('.localhost')
}

/** `Host` without its port: `localhost:8080`, `[::1]:8080`. */
export function hostName(host: string): string {
  return host.replace(/:\d*$/, '').toLowerCase()
}

/** Host name of `scheme://host:port`; '' for `null` and what is no origin. */
export function hostOfOrigin(origin: string): string {
  const host = /^[a-z][a-z0-9+.-]*:\/\/([^/]+)$/i.exec(origin)?.[1]
  return host === undefined ? '' : hostName(host)
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 100))
}
