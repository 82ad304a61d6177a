import { type ChildProcess, fork } from 'node:child_process'
import type { EngineConfig, FromEngine, ToEngine } from '../engine/messages.js'
import { LineTail, type Logger } from './log.js'

/** The variable in which an engine process finds its EngineConfig as JSON. */
export const configVariable = 'OCTAVO_ENGINE_CONFIG'

/** Messages already sent by a process that ended may still be on their way when its end is known. */
const lastMessagesMs = 5
/** Likewise what it wrote to its error output. */
const lastLinesMs = 100

/**
 * glibc asks the kernel for pages of 2 MiB for large allocations then: weights and cells, which every step goes over.
 * Unknown tunables are ignored by older versions, the variable by other systems. Source: glibc manual, "Memory Allocation
 * Tunables", `glibc.malloc.hugetlb`.
 */
function largePages(): NodeJS.ProcessEnv {
  const own = process.env.GLIBC_TUNABLES ?? ''
  if (process.platform !== 'linux' || own.includes('glibc.malloc.hugetlb')) return {}
  return { GLIBC_TUNABLES: [own, 'glibc.malloc.hugetlb=1'].filter(text => text !== '').join(':') }
}

export interface EngineExit {
  /** null when a signal ended it, or it never ran. */
  code: number | null
  signal: NodeJS.Signals | null
  /** Last lines of its error output, oldest first. */
  lines: string[]
}

export interface EngineProcessOptions {
  /** The engine's program, a JavaScript file. */
  entry: string
  config: EngineConfig
  logger: Logger
  /** A process that cut its channel has this long to end before it is killed, milliseconds. */
  exitMs: number
  onMessage(message: FromEngine): void
  /** Once: no message will come any more. */
  onGone(): void
}

/**
 * One child process and its channel. Nothing here throws when the process is not there any more: what it said before
 * comes first, then `onGone` (at most a few milliseconds after its end), then `ended` settles.
 */
export class EngineProcess {
  /** Never rejects. */
  readonly ended: Promise<EngineExit>
  readonly #child: ChildProcess
  readonly #options: EngineProcessOptions
  #gone = false

  constructor(options: EngineProcessOptions) {
    this.#options = options
    this.#child = fork(options.entry, [], {
      serialization: 'json',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // Flags of this process (an inspector's port, a test's loader) are not meant for the engine.
      execArgv: [],
      env: { ...process.env, ...largePages(), [configVariable]: JSON.stringify(options.config) }
    })
    this.#child.on('message', message => {
      if (!this.#gone) options.onMessage(message as FromEngine)
    })
    this.#child.on('disconnect', () => this.#onGone())
    this.ended = this.#watchEnd(this.#keepLines())
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get gone(): boolean {
    return this.#gone
  }

  /** `onSent` is called once, when the message has left or cannot leave any more. */
  send(message: ToEngine, onSent: () => void = ignore): void {
    if (this.#gone || !this.#child.connected) {
      queueMicrotask(onSent)
      return
    }
    this.#child.send(message, onSent)
  }

  /** Ends the process at once, wherever it is; also when it is stopped. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #keepLines(): LineTail {
    const { logger } = this.#options
    const output = new LineTail(0, line => logger.debug({ pid: this.pid, line }, 'engine output'))
    const errors = new LineTail(40, line => logger.debug({ pid: this.pid, line }, 'engine error output'))
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => output.write(text))
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => errors.write(text))
    return errors
  }

  #watchEnd(errors: LineTail): Promise<EngineExit> {
    const child = this.#child
    return new Promise(resolve => {
      const settle = (code: number | null, signal: NodeJS.Signals | null) => {
        this.#onGone()
        resolve({ code, signal, lines: errors.lines })
      }
      child.on('exit', (code, signal) => {
        setTimeout(() => this.#onGone(), lastMessagesMs)
        // `close` comes when all pipes are read, which a grandchild could keep from happening.
        const timer = setTimeout(() => settle(code, signal), lastLinesMs)
        child.once('close', () => {
          clearTimeout(timer)
          settle(code, signal)
        })
      })
      child.on('error', error => {
        this.#options.logger.debug({ pid: this.pid, err: error }, 'engine process')
        // Without a pid it could not be started, and no `exit` will come.
        if (child.pid !== undefined) return
        errors.write(`${error.message}\n`)
        settle(null, null)
      })
    })
  }

  #onGone(): void {
    if (this.#gone) return
    this.#gone = true
    if (this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined) {
      const timer = setTimeout(() => this.kill(), this.#options.exitMs)
      void this.ended.then(() => clearTimeout(timer))
    }
    this.#options.onGone()
  }
}

function ignore(): void {}

/** What Node prints below the reason when it aborts: `20: 0x195e476 [/usr/bin/node]`. */
const stackFrame = /^\s*\d+: 0x[0-9a-f]+|^-+ \w+ stack trace -+$/

/** `ended with SIGSEGV: last line`, for messages. */
export function describeExit({ code, signal, lines }: EngineExit): string {
  const how =
    signal !== null ? `ended with ${signal}` : code === null ? 'did not start' : `exited with code ${code}`
  const last = lines.findLast(line => !stackFrame.test(line))
  return last === undefined ? how : `${how}: ${last}`
}
