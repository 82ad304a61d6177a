/** Builds a response out of a request's events, and tells each step as OpenAI's streaming event. */
import type { RequestEvent } from '../../../engine/messages.js'
import { checkDemandedJson, type DemandedJson } from '../../answer/demanded-json.js'
import type { AnswerReader, ReadEvent } from '../../answer/reader.js'
import type { ApiError } from '../../errors.js'
import { type ChatLogprob, toChatLogprobs } from '../logprobs.js'
import { encryptReasoning } from './items.js'
import { newId, type OutputItem, type ResponseObject, toResponseUsage, unixNow } from './object.js'

/** One streaming event; `sequence_number` is added when it is written. */
export interface ResponseEvent {
  type: string
  [field: string]: unknown
}

export interface WriterOptions {
  logprobs: boolean
  /** The client keeps no state on the server and wants the thinking to give it back. */
  encryptedReasoning: boolean
  demanded: DemandedJson
  /** The response is complete. */
  onComplete?: (response: ResponseObject) => void
}

type Message = Extract<OutputItem, { type: 'message' }>
type Reasoning = Extract<OutputItem, { type: 'reasoning' }>
type Call = Extract<OutputItem, { type: 'function_call' }>

/**
 *     response.created response.in_progress
 *       (output_item.added (content_part.added delta... done content_part.done | delta... done) output_item.done)...
 *     response.completed | response.incomplete | response.failed
 */
export class ResponseWriter {
  #open: OutputItem | null = null

  constructor(
    readonly response: ResponseObject,
    private readonly reader: AnswerReader,
    private readonly options: WriterOptions
  ) {}

  /** @throws ApiError constraint_failed */
  event(event: RequestEvent): ResponseEvent[] {
    switch (event.type) {
      case 'verdict':
        return [this.#whole('response.created'), this.#whole('response.in_progress')]
      case 'text':
        return this.reader.text(event).flatMap(read => this.#read(read))
      case 'finish': {
        const rest = this.reader.finish(event).flatMap(read => this.#read(read))
        checkDemandedJson(this.options.demanded, this.reader.choice(0))
        return [...rest, ...this.#close(event.reason === 'length' ? 'incomplete' : 'completed')]
      }
      case 'end': {
        const { response } = this
        const cut = this.reader.choice(0).reason === 'length'
        response.usage = toResponseUsage(event.usage, this.reader.reasoningTokens)
        response.status = cut ? 'incomplete' : 'completed'
        if (cut) response.incomplete_details = { reason: 'max_output_tokens' }
        else response.completed_at = unixNow()
        this.options.onComplete?.(response)
        return [this.#whole(cut ? 'response.incomplete' : 'response.completed')]
      }
      default:
        return []
    }
  }

  failure(error: ApiError): ResponseEvent {
    this.response.status = 'failed'
    this.response.error = { code: 'server_error', message: error.message }
    return this.#whole('response.failed')
  }

  #read(event: ReadEvent): ResponseEvent[] {
    switch (event.type) {
      case 'reasoning': {
        const [added, item] = this.#reasoning()
        const part = item.content[0]
        if (part) part.text += event.text
        return [
          ...added,
          this.#told('response.reasoning_text.delta', { content_index: 0, delta: event.text })
        ]
      }
      case 'content': {
        const [added, item] = this.#message()
        const part = item.content[0]
        const logprobs = this.options.logprobs ? toChatLogprobs(event.logprobs ?? []) : []
        if (part) {
          part.text += event.text
          part.logprobs.push(...logprobs)
        }
        const delta = { content_index: 0, delta: event.text, logprobs }
        return [...added, this.#told('response.output_text.delta', delta)]
      }
      case 'call': {
        const closed = this.#close('completed')
        const { id: call_id, name } = event
        const id = newId('fc')
        this.#add({ type: 'function_call', id, call_id, name, arguments: '', status: 'in_progress' })
        return [...closed, this.#added()]
      }
      case 'arguments':
        if (this.#open?.type !== 'function_call') return []
        this.#open.arguments += event.text
        return [this.#told('response.function_call_arguments.delta', { delta: event.text })]
      case 'callEnd':
        return this.#close(event.complete ? 'completed' : 'incomplete')
    }
  }

  #message(): [ResponseEvent[], Message] {
    if (this.#open?.type === 'message') return [[], this.#open]
    const closed = this.#close('completed')
    const item: Message = {
      type: 'message',
      id: newId('msg'),
      role: 'assistant',
      status: 'in_progress',
      content: []
    }
    this.#add(item)
    const added = this.#added()
    const part = { type: 'output_text' as const, text: '', annotations: [], logprobs: [] as ChatLogprob[] }
    item.content.push(part)
    return [[...closed, added, this.#part('response.content_part.added', { ...part, logprobs: [] })], item]
  }

  #reasoning(): [ResponseEvent[], Reasoning] {
    if (this.#open?.type === 'reasoning') return [[], this.#open]
    const closed = this.#close('completed')
    const item: Reasoning = {
      type: 'reasoning',
      id: newId('rs'),
      summary: [],
      content: [],
      status: 'in_progress'
    }
    this.#add(item)
    const added = this.#added()
    const part = { type: 'reasoning_text' as const, text: '' }
    item.content.push(part)
    return [[...closed, added, this.#part('response.content_part.added', { ...part })], item]
  }

  #close(status: 'completed' | 'incomplete'): ResponseEvent[] {
    const item = this.#open
    if (!item) return []
    item.status = status
    const done = this.#done(item)
    const last = this.#told('response.output_item.done', { item: structuredClone(item) }, false)
    this.#open = null
    return [...done, last]
  }

  #done(item: OutputItem): ResponseEvent[] {
    if (item.type === 'function_call') return [this.#callDone(item)]
    const part = item.content[0]
    if (!part) return []
    const { text } = part
    if (item.type === 'reasoning') {
      if (this.options.encryptedReasoning) item.encrypted_content = encryptReasoning(text)
      return [
        this.#told('response.reasoning_text.done', { content_index: 0, text }),
        this.#part('response.content_part.done', { ...part })
      ]
    }
    const { logprobs } = part as Message['content'][number]
    return [
      this.#told('response.output_text.done', { content_index: 0, text, logprobs }),
      this.#part('response.content_part.done', { ...part })
    ]
  }

  #callDone({ name, arguments: args }: Call): ResponseEvent {
    return this.#told('response.function_call_arguments.done', { name, arguments: args })
  }

  #add(item: OutputItem): void {
    this.#open = item
    this.response.output.push(item)
  }

  #added(): ResponseEvent {
    return this.#told('response.output_item.added', { item: structuredClone(this.#open) }, false)
  }

  #part(type: string, part: object): ResponseEvent {
    return this.#told(type, { content_index: 0, part })
  }

  /** An event of the open item. */
  #told(type: string, fields: object, withItemId = true): ResponseEvent {
    const id = withItemId ? { item_id: this.#open?.id } : {}
    return { type, ...id, output_index: this.response.output.length - 1, ...fields }
  }

  #whole(type: string): ResponseEvent {
    return { type, response: structuredClone(this.response) }
  }
}
