/** Events of a request as one Anthropic message. */
import { createHash, randomUUID } from 'node:crypto'
import type { RequestEvent, RequestUsage } from '../../engine/messages.js'
import { checkDemandedJson, type DemandedJson } from '../answer/demanded-json.js'
import { partialJson } from '../answer/partial-json.js'
import type { AnswerReader, ReadChoice } from '../answer/reader.js'
import { nestedDeeper } from '../nesting.js'
import { type PrefixSource, prefixSource } from '../prefix-source.js'

export type StopReason = 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use'

export type AnswerBlock =
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'text'; text: string; citations: null }
  | { type: 'tool_use'; id: string; name: string; input: unknown }

/** Tokens of the prompt that came from the cache are not in `input_tokens`. */
export interface MessageUsage {
  input_tokens: number
  cache_creation_input_tokens: number
  cache_read_input_tokens: number
  output_tokens: number
  octavo_cache: PrefixSource
}

export interface AnthropicMessage {
  id: string
  type: 'message'
  role: 'assistant'
  model: string
  content: AnswerBlock[]
  stop_reason: StopReason | null
  stop_sequence: string | null
  usage: MessageUsage
}

export function newMessageId(): string {
  return `msg_${randomUUID().replaceAll('-', '')}`
}

export function toMessageUsage({ promptTokens, completionTokens, cached }: RequestUsage): MessageUsage {
  const read = cached.resident + cached.ram + cached.disk
  return {
    input_tokens: promptTokens - read,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: read,
    output_tokens: completionTokens,
    octavo_cache: prefixSource(cached)
  }
}

export function stopReason(choice: ReadChoice): { stop_reason: StopReason; stop_sequence: string | null } {
  const reason = (stop_reason: StopReason) => ({ stop_reason, stop_sequence: choice.stop })
  if (choice.reason === 'length') return reason('max_tokens')
  if (choice.stop !== null) return reason('stop_sequence')
  return reason(choice.calls.length > 0 ? 'tool_use' : 'end_turn')
}

/** Clients give it back with the thinking; nothing here depends on it. */
export function signature(thinking: string): string {
  return createHash('sha256').update(thinking).digest('base64')
}

/** Input is an object; when the answer was cut off within it, as much of it as was written. */
export function toInput(json: string): unknown {
  const value = partialJson(json)
  return typeof value === 'object' && value !== null && !nestedDeeper(value) ? value : {}
}

/** Takes a request's events in order; `failed` and refusing verdicts are its user's affair. */
export class MessageAnswer {
  #usage: MessageUsage = toMessageUsage({
    promptTokens: 0,
    completionTokens: 0,
    cached: { resident: 0, ram: 0, disk: 0 }
  })

  constructor(
    private readonly head: { id: string; model: string },
    private readonly reader: AnswerReader,
    private readonly demanded: DemandedJson
  ) {}

  /** @throws ApiError constraint_failed */
  add(event: RequestEvent): void {
    if (event.type === 'text') this.reader.text(event)
    else if (event.type === 'finish') {
      this.reader.finish(event)
      checkDemandedJson(this.demanded, this.reader.choice(0))
    } else if (event.type === 'end') this.#usage = toMessageUsage(event.usage)
  }

  finish(): AnthropicMessage {
    const choice = this.reader.choice(0)
    return {
      id: this.head.id,
      type: 'message',
      role: 'assistant',
      model: this.head.model,
      content: toBlocks(choice),
      ...stopReason(choice),
      usage: this.#usage
    }
  }
}

function toBlocks({ reasoning, content, calls }: ReadChoice): AnswerBlock[] {
  return [
    ...(reasoning === ''
      ? []
      : [{ type: 'thinking' as const, thinking: reasoning, signature: signature(reasoning) }]),
    ...(content === '' ? [] : [{ type: 'text' as const, text: content, citations: null }]),
    ...calls.map(call => ({
      type: 'tool_use' as const,
      id: call.id,
      name: call.name,
      input: toInput(call.arguments)
    }))
  ]
}
