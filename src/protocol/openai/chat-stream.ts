/** Events of a chat request as `chat.completion.chunk`s. */
import type { RequestEvent } from '../../engine/messages.js'
import { checkDemandedJson } from '../answer/demanded-json.js'
import type { AnswerReader, ReadEvent } from '../answer/reader.js'
import { type ApiError, openaiErrorBody } from '../errors.js'
import type { StreamEncoder } from '../stream-encoder.js'
import type { AnswerHead } from './answer-head.js'
import { type ChatAnswerOptions, type ChatFinishReason, chatFinishReason } from './chat-answer.js'
import { toChatLogprobs } from './logprobs.js'
import { toUsage } from './usage.js'

export interface ChatStreamOptions extends ChatAnswerOptions {
  /** The client asked for `stream_options.include_usage`. */
  includeUsage: boolean
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
    private readonly reader: AnswerReader,
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
    this.#opened = reader.choices.map(() => false)
  }

  event(event: RequestEvent): string {
    switch (event.type) {
      case 'text':
        return this.#deltas(event.choice, this.reader.text(event))
      case 'finish': {
        const { choice } = event
        const rest = this.#deltas(choice, this.reader.finish(event))
        const read = this.reader.choice(choice)
        checkDemandedJson(this.options.demanded, read)
        const reason = chatFinishReason(read, this.options.legacyFunctions)
        return rest + this.#open(choice) + this.#chunk(choice, '{}', 'null', reason)
      }
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

  #deltas(choice: number, events: ReadEvent[]): string {
    let text = ''
    for (const event of events) {
      const delta = this.#delta(event)
      if (delta === null) continue
      text += this.#open(choice) + this.#chunk(choice, delta, this.#logprobs(event), null)
    }
    return text
  }

  #delta(event: ReadEvent): string | null {
    switch (event.type) {
      case 'content':
        return `{"content":${JSON.stringify(event.text)}}`
      case 'reasoning':
        return `{"reasoning_content":${JSON.stringify(event.text)}}`
      case 'call':
        return this.#call(event.index, { name: event.name, arguments: '' }, event.id)
      case 'arguments':
        return this.#call(event.index, { arguments: event.text })
      case 'callEnd':
        return null
    }
  }

  /** @param id given with a call's first delta only */
  #call(index: number, part: { name?: string; arguments: string }, id?: string): string | null {
    if (this.options.legacyFunctions) return index === 0 ? JSON.stringify({ function_call: part }) : null
    const call =
      id === undefined ? { index, function: part } : { index, id, type: 'function', function: part }
    return JSON.stringify({ tool_calls: [call] })
  }

  #logprobs(event: ReadEvent): string {
    if (!this.options.logprobs || event.type !== 'content' || !event.logprobs) return 'null'
    return JSON.stringify({ content: toChatLogprobs(event.logprobs), refusal: null })
  }

  /** The role comes first, once per choice, together with the choice's first text. */
  #open(choice: number): string {
    if (this.#opened[choice]) return ''
    this.#opened[choice] = true
    return this.#chunk(choice, '{"role":"assistant","content":"","refusal":null}', 'null', null)
  }

  #chunk(choice: number, delta: string, logprobs: string, reason: ChatFinishReason | null): string {
    const finish = reason === null ? 'null' : `"${reason}"`
    return `${this.#head}{"index":${choice},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finish}}${this.#tail}`
  }

  #usage(event: Extract<RequestEvent, { type: 'end' }>): string {
    if (!this.options.includeUsage) return ''
    const usage = toUsage(event.usage, this.reader.reasoningTokens)
    return `${this.#head}],"usage":${JSON.stringify(usage)}}\n\n`
  }
}
