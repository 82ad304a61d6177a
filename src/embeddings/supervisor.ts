import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Backoff } from '../models/backoff.js'
import type { Logger } from '../models/log.js'
import { ModelUnavailableError } from '../models/types.js'
import type { Work } from './messages.js'
import { EmbedderProcess, LoadError, type WorkResult } from './process.js'
import { readEmbeddingInfo } from './read-info.js'
import {
  type EmbeddingInput,
  type EmbeddingModel,
  type EmbeddingModelInfo,
  EmbeddingRefusal,
  type Embeddings,
  type Ranking
} from './types.js'

export interface EmbedderOptions {
  /** Its name in the API. */
  id: string
  /** Path of a GGUF file. */
  file: string
  threads: number
  /** Use a GPU where there is one. */
  gpu: boolean
  logger: Logger
  /** Most requests under way; one more is refused. 64 by default. */
  maxRequests?: number
  /** The process's program; Octavo's own by default. */
  entry?: string
}

/** A process that frees its model has this long before it is killed, milliseconds. */
const exitMs = 2000

/**
 * An embedding model in a process of its own, loaded on first use. When the process ends, requests in flight fail and
 * the next one starts it again, after a pause when that has just failed.
 */
export class SupervisedEmbedder implements EmbeddingModel {
  readonly id: string
  readonly created: number
  readonly info: EmbeddingModelInfo
  readonly #options: EmbedderOptions
  readonly #backoff = new Backoff()
  #process: EmbedderProcess | undefined
  #ready = false
  #closed = false
  #failure: string | undefined
  /** No start before this time, milliseconds of `performance.now()`. */
  #notBefore = 0
  #requests = 0
  /** Milliseconds that the last request took. */
  #lastMs = 100

  /** @throws Error when the file cannot be read, or holds no embedding model */
  constructor(options: EmbedderOptions) {
    this.#options = options
    this.id = options.id
    this.info = readEmbeddingInfo(options.file)
    this.created = Math.floor(statSync(options.file).mtimeMs / 1000)
  }

  get state(): EmbeddingModel['state'] {
    if (this.#ready) return 'ready'
    if (this.#process) return 'loading'
    return this.#failure === undefined ? 'unloaded' : 'failed'
  }

  /** Of the process, while there is one. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  async embed(inputs: EmbeddingInput[], signal: AbortSignal): Promise<Embeddings> {
    return await this.#run({ kind: 'embed', inputs }, signal)
  }

  async rank(query: string, documents: string[], signal: AbortSignal): Promise<Ranking> {
    return await this.#run({ kind: 'rank', query, documents }, signal)
  }

  /** Takes no new request; those under way may finish until the timeout. */
  async close({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    this.#closed = true
    const until = performance.now() + timeoutMs
    while (this.#requests > 0 && performance.now() < until) {
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    await this.#process?.close(exitMs)
  }

  async #run(work: Work, signal: AbortSignal): Promise<WorkResult> {
    if (this.#closed) throw unavailable('the server is shutting down', 1000)
    if (this.#requests >= (this.#options.maxRequests ?? 64)) {
      throw new EmbeddingRefusal({ kind: 'full', retryAfterMs: Math.max(500, this.#lastMs) })
    }
    const begun = performance.now()
    this.#requests++
    try {
      const running = this.#start()
      await running.ready.catch(error => {
        throw error instanceof LoadError ? unavailable(error.message, null) : error
      })
      const result = await running.work(work, signal)
      this.#backoff.reset()
      return result
    } finally {
      this.#requests--
      this.#lastMs = performance.now() - begun
    }
  }

  /** The process, a new one if need be. @throws ModelUnavailableError in the pause after failures */
  #start(): EmbedderProcess {
    if (this.#process) return this.#process
    const wait = this.#notBefore - performance.now()
    if (wait > 0) throw unavailable(this.#failure ?? 'its process ended again and again', wait)
    const { entry = fileURLToPath(new URL('./main.js', import.meta.url)), logger } = this.#options
    const { threads, gpu } = this.#options
    const { path: model, kind, context, vocabularySize } = this.info
    const started = new EmbedderProcess(entry, { model, kind, context, vocabularySize, threads, gpu }, logger)
    this.#process = started
    started.ready.then(
      () => {
        this.#ready = true
        this.#failure = undefined
        logger.info({ model: this.id, pid: started.pid }, 'embedding model loaded')
      },
      error => {
        this.#failure = error instanceof Error ? error.message : String(error)
        logger.error({ model: this.id, err: error }, 'the embedding model cannot be loaded')
      }
    )
    void started.ended.then(() => {
      this.#process = undefined
      this.#ready = false
      this.#notBefore = performance.now() + this.#backoff.next()
      if (!this.#closed) logger.warn({ model: this.id, pid: started.pid }, 'the embedding process ended')
    })
    return started
  }
}

function unavailable(message: string, retryAfterMs: number | null): ModelUnavailableError {
  return new ModelUnavailableError({ code: 'load_failed', message }, retryAfterMs)
}
