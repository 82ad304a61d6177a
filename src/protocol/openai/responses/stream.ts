import type { RequestEvent } from '../../../engine/messages.js'
import type { ApiError } from '../../errors.js'
import type { StreamEncoder } from '../../stream-encoder.js'
import type { ResponseEvent, ResponseWriter } from './writer.js'

/** Writes a response's events as named server-sent events, numbered from 0. There is no `[DONE]` here. */
export class ResponseStreamEncoder implements StreamEncoder {
  #sequence = 0

  constructor(private readonly writer: ResponseWriter) {}

  event(event: RequestEvent): string {
    return this.writer
      .event(event)
      .map(each => this.#write(each))
      .join('')
  }

  failure(error: ApiError): string {
    return this.#write(this.writer.failure(error))
  }

  keepAlive(): string {
    return ': keep-alive\n\n'
  }

  #write({ type, ...fields }: ResponseEvent): string {
    const data = { type, sequence_number: this.#sequence++, ...fields }
    return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`
  }
}
