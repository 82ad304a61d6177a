import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { ApiError } from '../../protocol/errors.js'
import { givenKeys } from '../plugins/app/auth.js'
import { hostName, hostOfOrigin, isLoopback } from '../plugins/app/host-guard.js'

/**
 * Who may manage models: whoever has the admin key; where there is none, programs on this machine. Those do not
 * include web pages, which the browser of this machine would send for.
 * @throws ApiError
 */
export function adminGuard(adminKey: string): (request: FastifyRequest) => Promise<void> {
  const wanted = digest(adminKey)
  return async request => {
    if (adminKey !== '') {
      if (!givenKeys(request).some(given => timingSafeEqual(digest(given), wanted))) {
        throw new ApiError('invalid_admin_key', { headers: { 'www-authenticate': 'Bearer' } })
      }
      return
    }
    const { host, origin } = request.headers
    const local =
      isLoopback(request.ip) &&
      (host === undefined || isLoopback(hostName(host))) &&
      (origin === undefined || isLoopback(hostOfOrigin(origin)))
    if (!local) throw new ApiError('admin_only_local')
  }
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}
