import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { LoadStatus } from '../../models/types.js'
import { speaksAnthropic } from '../../protocol/anthropic/errors.js'
import { eventStreamHeaders } from './event-stream-headers.js'

/** How often a client that asked for events is told how the load gets on. */
const eventEveryMs = 500

const opened = new WeakMap<ServerResponse, EarlyReply>()

/** The stream that was begun for a reply before its model was loaded. */
export function earlyReplyOf(response: ServerResponse): EarlyReply | undefined {
  return opened.get(response)
}

/**
 * A stream whose headers go out while the model is still being loaded, so that its client, and every proxy, sees that
 * something happens. Whatever comes later, an error too, is part of the stream.
 */
export class EarlyReply {
  readonly #reply: FastifyReply
  readonly #status: () => LoadStatus | null
  readonly #timers: NodeJS.Timeout[] = []
  readonly #events: boolean

  /** @param options.events the client wants `model_loading` events, not only comments */
  constructor(
    reply: FastifyReply,
    status: () => LoadStatus | null,
    options: { keepAliveMs: number; events: boolean }
  ) {
    this.#reply = reply
    this.#status = status
    this.#events = options.events
    const { raw } = reply
    opened.set(raw, this)
    raw.writeHead(200, { ...(reply.getHeaders() as Record<string, string>), ...eventStreamHeaders })
    this.#tell()
    // Comments do not reset the timers of Anthropic's clients.
    const alive = speaksAnthropic(reply.request.url)
      ? 'event: ping\ndata: {"type":"ping"}\n\n'
      : ': keep-alive\n\n'
    if (options.keepAliveMs > 0) {
      this.#every(options.keepAliveMs, () => {
        raw.write(alive)
        if (!this.#events) this.#tell()
      })
    }
    if (this.#events) this.#every(eventEveryMs, () => this.#tell())
    raw.once('close', () => this.#stop())
  }

  /** The model is there; `send` or `fail` follows. */
  ready(): void {
    this.#stop()
    if (this.#events) this.#reply.raw.write(event({ state: 'ready', progress: 1, estimated_ms: 0 }))
  }

  /** The answer itself. */
  send(stream: Readable): FastifyReply {
    this.#stop()
    this.#reply.hijack()
    stream.on('error', () => this.#reply.raw.destroy())
    this.#reply.raw.once('close', () => stream.destroy())
    stream.pipe(this.#reply.raw)
    return this.#reply
  }

  /** Ends it with an error, as text of the protocol that the client speaks. */
  fail(text: string): FastifyReply {
    return this.send(Readable.from([text]))
  }

  #tell(): void {
    const status = this.#status()
    if (status === null) return
    const { state, progress, estimatedMs } = status
    this.#reply.raw.write(
      this.#events
        ? event({ state, progress, estimated_ms: estimatedMs })
        : `: model ${state}, ${Math.round(progress * 100)} %, ready in about ${estimatedMs} ms\n\n`
    )
  }

  #every(ms: number, run: () => void): void {
    this.#timers.push(setInterval(run, ms).unref())
  }

  #stop(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
  }
}

function event(data: Record<string, unknown>): string {
  return `event: model_loading\ndata: ${JSON.stringify(data)}\n\n`
}
