/** One constraint thread, seen from the engine: start, messages, end. */
import { Worker } from 'node:worker_threads'
import type { FromWorker, ToWorker, WorkerOptions } from './protocol.js'

export interface ThreadEvents {
  message(message: FromWorker): void
  /** Once, however it ended. Not after `stop`. */
  ended(reason: string): void
}

export class Thread {
  /** Grammars that are compiled here. */
  readonly grammars = new Set<number>()
  /** Matchers that run here. */
  readonly matchers = new Set<number>()
  /** Compilations sent and not answered. */
  compiling = 0
  private readonly worker: Worker
  private over = false

  constructor(options: WorkerOptions, events: ThreadEvents) {
    this.worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: options,
      // Warnings about experimental features, and what the WASM library prints, are nobody's business.
      stdout: true,
      stderr: true,
      execArgv: ['--no-warnings'],
      resourceLimits: { stackSizeMb: 8 }
    })
    this.worker.stdout.resume()
    this.worker.stderr.resume()
    this.worker.unref()
    let reason = 'the constraint thread ended'
    this.worker.on('message', (message: FromWorker) => {
      if (message.type === 'broken') reason = message.message
      if (!this.over) events.message(message)
    })
    this.worker.on('error', error => {
      reason = error.message
    })
    this.worker.on('exit', () => {
      if (this.over) return
      this.over = true
      events.ended(reason)
    })
  }

  post(message: ToWorker): void {
    if (!this.over) this.worker.postMessage(message)
  }

  /** Ends the thread at once, also in the middle of a computation. */
  async stop(): Promise<void> {
    this.over = true
    await this.worker.terminate()
  }
}
