import { Readable } from 'node:stream'
import type { RequestEvent } from '../../engine/messages.js'
import type { Generation } from '../../models/types.js'
import { ApiError } from '../../protocol/errors.js'
import { failureError } from '../../protocol/outcomes.js'
import type { StreamEncoder } from '../../protocol/stream-encoder.js'

export interface EventStreamOptions {
  encoder: StreamEncoder
  generation: Generation
  /** Milliseconds between signs of life until the first text (or in any silence: the encoder says); 0: none. */
  keepAliveMs: number
  /** Called when someone begins to read: the reply's headers are set by then. */
  onStart(): void
}

/**
 * Body of a streamed answer. Events are pushed in; what comes in one turn of the event loop (all events of one engine
 * message) leaves in one write. A reader that is slower than the model pauses the generation; one that goes away
 * cancels it.
 *
 *   engine events -> push() -> pending text -> Readable (16 KiB) -> HTTP reply -> socket
 *                                                  | full: pause()     | closed: cancel()
 */
export class EventStream extends Readable {
  readonly #options: EventStreamOptions
  #pending = ''
  #flushScheduled = false
  #started = false
  #paused = false
  #ended = false
  #keepAlive: NodeJS.Timeout | undefined

  constructor(options: EventStreamOptions) {
    super({ highWaterMark: 16 * 1024 })
    this.#options = options
    if (options.keepAliveMs > 0) {
      this.#keepAlive = setInterval(() => this.#write(options.encoder.keepAlive()), options.keepAliveMs)
      this.#keepAlive.unref()
    }
  }

  /** Takes the request's next event, in order. Nothing may follow `end` or `failed`. */
  accept(event: RequestEvent): void {
    if (this.destroyed || this.#ended) return
    if (event.type === 'failed') {
      this.#write(this.#options.encoder.failure(failureError(event.code, event.message)))
      this.#finish()
      return
    }
    try {
      this.#tell(this.#options.encoder.event(event), event.type === 'text')
    } catch (error) {
      const known = error instanceof ApiError ? error : new ApiError('internal_error', { cause: error })
      this.#write(this.#options.encoder.failure(known))
      this.#options.generation.cancel()
      this.#finish()
      return
    }
    if (event.type === 'end') this.#finish()
  }

  /** @param generated the text comes of tokens: they flow from now on */
  #tell(text: string, generated: boolean): void {
    if (text === '') return
    if (this.#options.encoder.keepsAliveThroughout) this.#keepAlive?.refresh()
    else if (generated) this.#stopKeepAlive()
    this.#write(text)
  }

  override _read(): void {
    if (!this.#started) {
      this.#started = true
      this.#options.onStart()
    }
    if (!this.#paused) return
    this.#paused = false
    this.#options.generation.resume()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stopKeepAlive()
    if (!this.#ended) this.#options.generation.cancel()
    callback(error)
  }

  #write(text: string): void {
    this.#pending += text
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    this.#flushScheduled = false
    if (this.destroyed) return
    if (this.#pending !== '') {
      const text = this.#pending
      this.#pending = ''
      if (!this.push(text) && !this.#ended && !this.#paused) {
        this.#paused = true
        this.#options.generation.pause()
      }
    }
    if (this.#ended) this.push(null)
  }

  #finish(): void {
    this.#ended = true
    this.#stopKeepAlive()
    this.#write('')
  }

  #stopKeepAlive(): void {
    clearInterval(this.#keepAlive)
    this.#keepAlive = undefined
  }
}
