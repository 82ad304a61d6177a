import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { LineTail, type Logger } from '../models/log.js'
import type { FromVocabulary, VocabularyCalls, VocabularyMethod } from './messages.js'

/** The process ends after so long without a question: it takes some 100 MB. */
const idleMs = 60_000
/** A question that takes longer has met something that hangs: the process is ended. */
const stuckMs = 30_000

interface Pending {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** In the server process: asks the vocabulary process, which is started when there is a question. */
export class VocabularyService {
  readonly #entry: string
  readonly #logger: Logger
  readonly #pending = new Map<number, Pending>()
  #child: ChildProcess | null = null
  #idle: NodeJS.Timeout | undefined
  #calls = 0
  #closed = false

  /** @param entry the process's program, a JavaScript file */
  constructor(logger: Logger, entry = fileURLToPath(new URL('./main.js', import.meta.url))) {
    this.#logger = logger
    this.#entry = entry
  }

  /** Of the process; undefined when there is none. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** @throws Error when the file holds no vocabulary, the process ends, or does not answer */
  async ask<M extends VocabularyMethod>(
    file: string,
    method: M,
    params: VocabularyCalls[M]['params']
  ): Promise<VocabularyCalls[M]['result']> {
    if (this.#closed) throw new Error('the vocabulary process is closed')
    clearTimeout(this.#idle)
    this.#child ??= this.#start()
    const child = this.#child
    // Held while there is a question, and only then: the server ends when nothing else keeps it.
    child.ref()
    child.channel?.ref()
    const call = ++this.#calls
    const stuck = setTimeout(() => child.kill('SIGKILL'), stuckMs)
    stuck.unref()
    try {
      return await new Promise((resolve, reject) => {
        this.#pending.set(call, { resolve: resolve as Pending['resolve'], reject })
        child.send({ call, file, method, params }, error => {
          if (error) reject(error)
        })
      })
    } finally {
      clearTimeout(stuck)
      this.#pending.delete(call)
      if (this.#pending.size === 0) this.#rest()
    }
  }

  /** Ends the process; questions are refused from now on. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#idle)
    this.#end()
  }

  #rest(): void {
    this.#child?.unref()
    this.#child?.channel?.unref()
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => this.#end(), idleMs)
    this.#idle.unref()
  }

  #end(): void {
    this.#child?.kill('SIGKILL')
    this.#child = null
  }

  #start(): ChildProcess {
    const child = fork(this.#entry, [], {
      serialization: 'json',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Flags of this process (an inspector's port, a test's loader) are not meant for it.
      execArgv: []
    })
    const lines = new LineTail(1, line => this.#logger.debug({ pid: child.pid, line }, 'vocabulary output'))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => lines.write(text))
    child.on('message', message => this.#answer(message as FromVocabulary))
    const gone = () => this.#gone(child)
    child.once('exit', gone)
    child.once('error', gone)
    child.once('disconnect', gone)
    const errors = child.stderr as { unref?(): void } | null
    errors?.unref?.()
    return child
  }

  #answer(message: FromVocabulary): void {
    const pending = this.#pending.get(message.call)
    if (message.ok) pending?.resolve(message.result)
    else pending?.reject(new Error(message.message))
  }

  /** One process at a time: whatever is open was asked of this one. */
  #gone(child: ChildProcess): void {
    if (this.#child !== null && this.#child !== child) return
    this.#child = null
    for (const { reject } of this.#pending.values()) reject(new Error('the vocabulary process ended'))
  }
}
