/** Events of a chat request as `chat.completion.chunk`s. */
import type { FinishReason, RequestEvent } from '../../engine/messages.js'
import { type ApiError, openaiErrorBody } from '../errors.js'
import type { StreamEncoder } from '../stream-encoder.js'
import type { AnswerHead } from './answer-head.js'
import { toChatLogprobs } from './logprobs.js'
import { toUsage } from './usage.js'

export interface ChatStreamOptions {
  choices: number
  /** The client asked for `stream_options.include_usage`. */
  includeUsage: boolean
  logprobs: boolean
}

/**
 * Chunk JSON is put together from parts rendered once; only the delta is serialized per event. At 16 streams of 70
 * tokens/s the server's loop has other things to do.
 */
export class ChatStreamEncoder implements StreamEncoder {
  /** Up to `"choices":[`. */
  readonly #head: string
  readonly #tail: string
  readonly #opened: boolean[]

  constructor(
    head: AnswerHead,
    private readonly options: ChatStreamOptions
  ) {
    const fields = {
      id: head.id,
      object: 'chat.completion.chunk',
      created: head.created,
      model: head.model,
      ...(head.systemFingerprint === null ? {} : { system_fingerprint: head.systemFingerprint })
    }
    this.#head = `data: ${JSON.stringify(fields).slice(0, -1)},"choices":[`
    // With usage asked for, OpenAI sends a null in every chunk but the last.
    this.#tail = options.includeUsage ? '],"usage":null}\n\n' : ']}\n\n'
    this.#opened = Array.from({ length: options.choices }, () => false)
  }

  event(event: RequestEvent): string {
    switch (event.type) {
      case 'text': {
        // Text may be withheld while it could become a stop string.
        if (event.text === '' && !event.logprobs?.length) return ''
        const logprobs =
          this.options.logprobs && event.logprobs
            ? JSON.stringify({ content: toChatLogprobs(event.logprobs), refusal: null })
            : 'null'
        const delta = `{"content":${JSON.stringify(event.text)}}`
        return this.#open(event.choice) + this.#chunk(event.choice, delta, logprobs, null)
      }
      case 'finish':
        return this.#open(event.choice) + this.#chunk(event.choice, '{}', 'null', event.reason)
      case 'end':
        return `${this.#usage(event)}data: [DONE]\n\n`
      default:
        return ''
    }
  }

  failure(error: ApiError): string {
    return `data: ${JSON.stringify(openaiErrorBody(error))}\n\n`
  }

  keepAlive(): string {
    return ': keep-alive\n\n'
  }

  /** The role comes first, once per choice, together with the choice's first text. */
  #open(choice: number): string {
    if (this.#opened[choice]) return ''
    this.#opened[choice] = true
    return this.#chunk(choice, '{"role":"assistant","content":"","refusal":null}', 'null', null)
  }

  #chunk(choice: number, delta: string, logprobs: string, reason: FinishReason | null): string {
    const finish = reason === null ? 'null' : `"${reason}"`
    return `${this.#head}{"index":${choice},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finish}}${this.#tail}`
  }

  #usage(event: Extract<RequestEvent, { type: 'end' }>): string {
    if (!this.options.includeUsage) return ''
    return `${this.#head}],"usage":${JSON.stringify(toUsage(event.usage))}}\n\n`
  }
}
