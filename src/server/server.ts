import type { FastifyInstance } from 'fastify'
import { buildApp } from './app.js'
import type { AppOptions } from './options.js'

export interface RunningServer {
  app: FastifyInstance
  /** E.g. `http://127.0.0.1:8080`; the port is the real one when 0 was asked for. */
  address: string
}

/**
 * @param options.port 0: any free port
 * @throws Error with `code` EADDRINUSE, EACCES, EADDRNOTAVAIL, ... when it cannot listen; nothing is left open then
 */
export async function startServer(options: AppOptions & { port: number }): Promise<RunningServer> {
  const app = await buildApp(options)
  try {
    const address = await app.listen({
      host: options.config.host,
      port: options.port,
      listenTextResolver: text => text
    })
    return { app, address }
  } catch (error) {
    await app.close()
    throw error
  }
}
