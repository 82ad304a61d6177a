import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../src/cli.js', import.meta.url))

export interface Octavo {
  child: ChildProcess
  stdout(): string
  stderr(): string
  /** Exit code and signal. */
  ended: Promise<[number | null, string | null]>
  /** Resolves with the first line of standard output that matches. */
  line(pattern: RegExp): Promise<string>
}

/** How the process is to be started where that matters. */
export interface Start {
  /** Words before the command, of a program that runs it. */
  through?: string[]
  /** Another user. */
  uid?: number
}

/**
 * Runs the program as a user does, with one compute thread, in an environment without settings. Nothing is kept on disk
 * unless `env` says so.
 */
export function octavo(
  test: { teardown(clean: () => unknown): void },
  args: string[],
  env: NodeJS.ProcessEnv = {},
  { through = [], uid }: Start = {}
): Octavo {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('OCTAVO_')))
  const [file, ...words] = [...through, process.execPath, program, ...args] as [string, ...string[]]
  const child = spawn(file, words, {
    env: { ...clean, OCTAVO_THREADS: '1', OCTAVO_CTX_SIZE: '4096', OCTAVO_CACHE_DISK: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid })
  })
  let stdout = ''
  let stderr = ''
  child.stdout!.setEncoding('utf8').on('data', text => {
    stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  // `close`: the streams have been read to their end.
  const ended = once(child, 'close') as Promise<[number | null, string | null]>
  test.teardown(async () => {
    if (child.exitCode === null) child.kill('SIGKILL')
    await ended
  })
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    ended,
    line: pattern =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = stdout.split('\n').find(line => pattern.test(line))
          if (found !== undefined) resolve(found)
        }
        child.stdout!.on('data', look)
        look()
        void ended.then(() => reject(new Error(`ended without ${pattern}: ${stdout}${stderr}`)))
      })
  }
}

/** A port on which somebody else listens until the test ends. */
export async function takenPort(test: { teardown(clean: () => unknown): void }): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  test.teardown(() => server.close())
  return (server.address() as { port: number }).port
}
