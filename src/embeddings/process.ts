import { type ChildProcess, fork } from 'node:child_process'
import { LineTail, type Logger } from '../models/log.js'
import { EngineGoneError } from '../models/types.js'
import {
  configVariable,
  type EmbedderConfig,
  type FromEmbedder,
  type ToEmbedder,
  type Work
} from './messages.js'
import { EmbeddingRefusal } from './types.js'

export type WorkResult = Extract<FromEmbedder, { type: 'done' }>

interface Pending {
  resolve(result: WorkResult): void
  reject(error: Error): void
}

/** The model could not be loaded; the message says why. */
export class LoadError extends Error {
  override readonly name = 'LoadError'
}

/** One embedding process and what it has been asked. When it ends, every open question fails with EngineGoneError. */
export class EmbedderProcess {
  /** Rejects with LoadError. */
  readonly ready: Promise<void>
  /** Settles when the process has ended. */
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  readonly #pending = new Map<number, Pending>()
  readonly #errors: LineTail
  #next = 0

  /** @param entry the process's program, a JavaScript file */
  constructor(entry: string, config: EmbedderConfig, logger: Logger) {
    this.#child = fork(entry, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // Flags of this process (an inspector's port, a test's loader) are not meant for it.
      execArgv: [],
      env: { ...process.env, [configVariable]: JSON.stringify(config) }
    })
    this.#errors = new LineTail(5, line => logger.debug({ pid: this.pid, line }, 'embedder output'))
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#errors.write(text))
    }
    this.ended = new Promise(resolve => {
      this.#child.once('exit', () => resolve())
      // Without a pid it could not be started, and no `exit` will come.
      this.#child.once('error', () => this.pid === undefined && resolve())
    })
    this.ready = this.#awaitReady()
    // Whoever asks for work awaits it; a process that ends unasked is no unhandled rejection.
    this.ready.catch(() => {})
    void this.ended.then(() => this.#failAll())
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Questions without an answer yet. */
  get open(): number {
    return this.#pending.size
  }

  /**
   * @throws EmbeddingRefusal, EngineGoneError
   * @throws signal.reason when the caller has gone
   */
  work(work: Work, signal: AbortSignal): Promise<WorkResult> {
    signal.throwIfAborted()
    const id = this.#next++
    return new Promise<WorkResult>((resolve, reject) => {
      const onAbort = () => {
        this.#pending.delete(id)
        this.#send({ type: 'cancel', id })
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      const settled = () => signal.removeEventListener('abort', onAbort)
      this.#pending.set(id, {
        resolve: result => {
          settled()
          resolve(result)
        },
        reject: error => {
          settled()
          reject(error)
        }
      })
      this.#send({ type: 'work', id, work })
    })
  }

  /** Frees the model; what is still computed is given up. Kills what does not end. */
  async close(killAfterMs: number): Promise<void> {
    this.#send({ type: 'shutdown' })
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), killAfterMs)
    await this.ended
    clearTimeout(timer)
  }

  #awaitReady(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.on('message', (message: FromEmbedder) => {
        if (message.type === 'ready') resolve()
        else if (message.type === 'loadFailed') reject(new LoadError(message.message))
        else this.#settle(message)
      })
      void this.ended.then(() => {
        reject(new LoadError(`the embedding process ended: ${this.#errors.lines.at(-1) ?? 'without a word'}`))
      })
    })
  }

  #settle(message: Extract<FromEmbedder, { id: number }>): void {
    const pending = this.#pending.get(message.id)
    this.#pending.delete(message.id)
    if (message.type === 'done') pending?.resolve(message)
    else if (message.type === 'refused') pending?.reject(new EmbeddingRefusal(message.reason))
    else pending?.reject(new Error(message.message))
  }

  #send(message: ToEmbedder): void {
    // A process that is going is noticed by its end.
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  #failAll(): void {
    const open = [...this.#pending.values()]
    this.#pending.clear()
    for (const { reject } of open) reject(new EngineGoneError('the embedding process ended'))
  }
}
