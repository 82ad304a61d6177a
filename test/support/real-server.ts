import { type Octavo, octavo } from '../cli/octavo.js'

/** The server as a user starts it, on the model of the package, ready for requests; ended with the test. */
export async function realServer(
  test: { teardown(clean: () => unknown): void },
  args: string[] = [],
  env: NodeJS.ProcessEnv = {}
): Promise<Octavo & { url: string }> {
  const server = octavo(test, ['serve', '--port', '0', ...args], { OCTAVO_CACHE_DISK: '0', ...env })
  const ready = JSON.parse(await server.line(/"msg":"ready"/))
  return { ...server, url: ready.address }
}
