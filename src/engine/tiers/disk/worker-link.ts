import { Worker } from 'node:worker_threads'
import { messageOf } from './faults.js'
import type { FromWorker, ToWorker } from './protocol.js'

/** The part of a worker thread that is used here. */
export interface WorkerPort {
  postMessage(message: ToWorker): void
  on(event: 'message', listener: (message: FromWorker) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'exit', listener: () => void): unknown
  unref(): void
  terminate(): Promise<unknown>
}

type Question = ToWorker extends infer M ? (M extends { id: number } ? Omit<M, 'id'> : never) : never
type Reply = Extract<FromWorker, { id: number }>

/** How often a dead worker is replaced before the disk tier is given up. */
const RESTARTS = 3

/** Questions and answers over a worker thread that may die: then every open question is answered with null. */
export class WorkerLink {
  readonly #spawn: () => WorkerPort
  readonly #onMessage: (message: FromWorker) => void
  readonly #onDeath: (message: string, again: boolean) => void
  readonly #open = new Map<number, (reply: Reply | null) => void>()
  #port: WorkerPort | null = null
  #nextId = 1
  #restarts = 0
  #ending = false

  constructor(options: {
    spawn?: () => WorkerPort
    /** Everything that is not an answer. */
    onMessage: (message: FromWorker) => void
    /** @param again a new worker is there. */
    onDeath: (message: string, again: boolean) => void
  }) {
    this.#spawn = options.spawn ?? (() => new Worker(new URL('./worker.js', import.meta.url)))
    this.#onMessage = options.onMessage
    this.#onDeath = options.onDeath
    this.#start()
  }

  #start(): void {
    const port = this.#spawn()
    this.#port = port
    let why = 'the disk worker ended'
    port.on('message', message => this.#receive(message))
    port.on('error', error => {
      why = messageOf(error)
    })
    port.on('exit', () => {
      if (this.#port === port) this.#died(why)
    })
  }

  post(message: ToWorker): void {
    this.#port?.postMessage(message)
  }

  /** Null when there is no worker (any more). */
  ask(question: Question): Promise<Reply | null> {
    if (!this.#port) return Promise.resolve(null)
    const id = this.#nextId++
    return new Promise(resolve => {
      this.#open.set(id, resolve)
      this.post({ ...question, id } as ToWorker)
    })
  }

  async end(): Promise<void> {
    this.#ending = true
    const port = this.#port
    this.#port = null
    await port?.terminate()
    this.#answerAll()
  }

  #receive(message: FromWorker): void {
    if (!('id' in message)) {
      // A process may end while nothing is asked, but not while somebody waits for the index.
      if (message.type === 'ready') this.#port?.unref()
      this.#onMessage(message)
      return
    }
    const resolve = this.#open.get(message.id)
    this.#open.delete(message.id)
    resolve?.(message)
  }

  #died(why: string): void {
    this.#port = null
    this.#answerAll()
    if (this.#ending) return
    const again = this.#restarts++ < RESTARTS
    if (again) this.#start()
    this.#onDeath(why, again)
  }

  #answerAll(): void {
    const open = [...this.#open.values()]
    this.#open.clear()
    for (const resolve of open) resolve(null)
  }
}
