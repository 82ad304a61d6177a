/** Events of a request as Anthropic's named events, in their strict order. */
import type { RequestEvent, RequestUsage } from '../../engine/messages.js'
import { checkDemandedJson, type DemandedJson } from '../answer/demanded-json.js'
import type { AnswerReader, ReadEvent } from '../answer/reader.js'
import type { ApiError } from '../errors.js'
import type { StreamEncoder } from '../stream-encoder.js'
import { signature, stopReason, toMessageUsage } from './answer.js'
import { anthropicErrorBody } from './errors.js'

type OpenBlock =
  | { type: 'thinking'; index: number; thinking: string }
  | { type: 'text'; index: number }
  | { type: 'tool_use'; index: number }

/**
 *     message_start
 *       (content_block_start content_block_delta... content_block_stop)...
 *     message_delta message_stop
 */
export class MessageStreamEncoder implements StreamEncoder {
  /** Comments do not reset the timers of Anthropic's clients, and these run throughout. */
  readonly keepsAliveThroughout = true
  #started = false
  #promptTokens = 0
  #block: OpenBlock | null = null
  #blocks = 0

  constructor(
    private readonly head: { id: string; model: string },
    private readonly reader: AnswerReader,
    private readonly demanded: DemandedJson
  ) {}

  event(event: RequestEvent): string {
    switch (event.type) {
      case 'verdict':
        if (event.verdict.kind === 'admitted') this.#promptTokens = event.verdict.promptTokens
        return ''
      case 'started':
        return this.#start({ promptTokens: this.#promptTokens, completionTokens: 0, cached: event.cached })
      case 'text':
        return (
          this.#startUnknown() +
          this.reader
            .text(event)
            .map(read => this.#read(read))
            .join('')
        )
      case 'finish': {
        const rest =
          this.#startUnknown() +
          this.reader
            .finish(event)
            .map(read => this.#read(read))
            .join('')
        checkDemandedJson(this.demanded, this.reader.choice(0))
        return rest + this.#closeBlock()
      }
      case 'end': {
        const delta = stopReason(this.reader.choice(0))
        return (
          named({ type: 'message_delta', delta, usage: toMessageUsage(event.usage) }) +
          named({ type: 'message_stop' })
        )
      }
      default:
        return ''
    }
  }

  failure(error: ApiError): string {
    return named(anthropicErrorBody(error))
  }

  /** A message begins before anything else: while the request is still in the queue, what is cached is not known. */
  keepAlive(): string {
    return this.#startUnknown() + named({ type: 'ping' })
  }

  #startUnknown(): string {
    const cached = { resident: 0, ram: 0, disk: 0 }
    return this.#start({ promptTokens: this.#promptTokens, completionTokens: 0, cached })
  }

  #start(usage: RequestUsage): string {
    if (this.#started) return ''
    this.#started = true
    const { id, model } = this.head
    return named({
      type: 'message_start',
      message: {
        id,
        type: 'message',
        role: 'assistant',
        model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: toMessageUsage(usage)
      }
    })
  }

  #read(event: ReadEvent): string {
    switch (event.type) {
      case 'reasoning': {
        const opened = this.#open('thinking', { type: 'thinking', thinking: '', signature: '' })
        if (this.#block?.type === 'thinking') this.#block.thinking += event.text
        return opened + this.#delta({ type: 'thinking_delta', thinking: event.text })
      }
      case 'content':
        if (event.text === '') return ''
        return (
          this.#open('text', { type: 'text', text: '', citations: null }) +
          this.#delta({ type: 'text_delta', text: event.text })
        )
      case 'call': {
        const { id, name } = event
        return this.#closeBlock() + this.#open('tool_use', { type: 'tool_use', id, name, input: {} })
      }
      case 'arguments':
        return this.#delta({ type: 'input_json_delta', partial_json: event.text })
      case 'callEnd':
        return this.#closeBlock()
    }
  }

  /** Goes on with the open block if it is of this type. */
  #open(type: OpenBlock['type'], content_block: object): string {
    if (this.#block?.type === type) return ''
    const closed = this.#closeBlock()
    const index = this.#blocks++
    this.#block = type === 'thinking' ? { type, index, thinking: '' } : { type, index }
    return closed + named({ type: 'content_block_start', index, content_block })
  }

  #delta(delta: object): string {
    return this.#block ? named({ type: 'content_block_delta', index: this.#block.index, delta }) : ''
  }

  #closeBlock(): string {
    const block = this.#block
    if (!block) return ''
    const signed =
      block.type === 'thinking'
        ? this.#delta({ type: 'signature_delta', signature: signature(block.thinking) })
        : ''
    this.#block = null
    return signed + named({ type: 'content_block_stop', index: block.index })
  }
}

function named<T extends { type: string }>(event: T): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}
