/** Starts and ends the servers that are compared. Each is a process of its own on a free loopback port. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { type Endpoint, fetchText } from './client.js'
import { memoryOfTree, type ProcessMemory } from './processes.js'

export interface Command {
  /** What tables call it. */
  name: string
  file: string
  /** Everything but the port, which is added as `--port N --host 127.0.0.1`. */
  args: string[]
  env?: Record<string, string>
}

export interface Server extends Endpoint {
  name: string
  pid: number
  /** Milliseconds from the start to the first 200 of `/health`. */
  readyMs: number
  /** Null while it runs. */
  exit(): { code: number | null; signal: NodeJS.Signals | null } | null
  memory(): Promise<ProcessMemory[]>
  /** Ends it by `signal`, and by SIGKILL when that takes longer than `graceMs`. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<void>
  /** The end of what it wrote to stdout and stderr. */
  log(): string
}

/** Host of every server and of every request: nothing of a benchmark leaves the machine. */
const HOST = '127.0.0.1'
const READY_MS = 180_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

/** @throws Error with the end of its log when it ends, or is not ready in time. */
export async function startServer(command: Command): Promise<Server> {
  const port = await freePort()
  const folder = await mkdtemp(path.join(os.tmpdir(), 'octavo-bench-'))
  const logFile = path.join(folder, 'log')
  // A file and not a pipe: reading a chatty log would cost the client its share of the processor.
  const log = openSync(logFile, 'w')
  const startedAt = performance.now()
  const child = spawn(command.file, [...command.args, '--host', HOST, '--port', String(port)], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...command.env }
  })
  closeSync(log)
  running.add(child)
  let spawnError: Error | undefined
  const ended = new Promise<void>(resolve => {
    child.once('exit', () => resolve())
    child.once('error', error => {
      spawnError = error
      resolve()
    })
  }).then(() => running.delete(child))
  const over = () => spawnError !== undefined || child.exitCode !== null || child.signalCode !== null
  const tail = () => readFileSync(logFile, 'utf8').slice(-4000)

  const server: Server = {
    name: command.name,
    host: HOST,
    port,
    pid: child.pid ?? -1,
    readyMs: 0,
    exit: () => (over() ? { code: child.exitCode, signal: child.signalCode } : null),
    memory: () => memoryOfTree(child.pid ?? -1),
    async stop(signal = 'SIGTERM', graceMs = 10_000) {
      if (!over()) {
        child.kill(signal)
        const timer = setTimeout(() => {
          console.error(`  ${command.name} did not end within ${graceMs / 1000} s of ${signal}: killed`)
          child.kill('SIGKILL')
        }, graceMs)
        await ended
        clearTimeout(timer)
      }
      rmSync(folder, { recursive: true, force: true })
    },
    log: tail
  }
  for (;;) {
    if (over()) throw new Error(`${command.name} did not start: ${spawnError?.message ?? ''}\n${tail()}`)
    if (performance.now() - startedAt > READY_MS) {
      await server.stop('SIGKILL')
      throw new Error(`${command.name} was not ready after ${READY_MS / 1000} s`)
    }
    const status = await fetchText(server, '/health', { timeoutMs: 2000 }).then(
      reply => reply.status,
      () => 0
    )
    if (status === 200) break
    await new Promise(resolve => setTimeout(resolve, 25))
  }
  server.readyMs = performance.now() - startedAt
  return server
}

/** Runs `use` against a fresh server and ends it in any case. */
export async function withServer<T>(command: Command, use: (server: Server) => Promise<T>): Promise<T> {
  const server = await startServer(command)
  try {
    return await use(server)
  } catch (error) {
    // Its connections break before its end is known.
    await new Promise(resolve => setTimeout(resolve, 300))
    const exit = server.exit()
    if (exit === null) throw error
    throw new Error(`${command.name} ended (${exit.signal ?? exit.code}):\n${server.log()}`, { cause: error })
  } finally {
    await server.stop()
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = net.createServer()
    probe.once('error', reject)
    probe.listen(0, HOST, () => {
      const { port } = probe.address() as net.AddressInfo
      probe.close(() => resolve(port))
    })
  })
}
