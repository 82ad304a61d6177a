/** The `response` object and its items. */
import { randomUUID } from 'node:crypto'
import type { RequestUsage } from '../../../engine/messages.js'
import { type PrefixSource, prefixSource } from '../../prefix-source.js'
import type { ChatLogprob } from '../logprobs.js'
import type { ResponseRequest } from './schema.js'

type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

export interface OutputText {
  type: 'output_text'
  text: string
  annotations: never[]
  logprobs: ChatLogprob[]
}

export type OutputItem =
  | { type: 'message'; id: string; role: 'assistant'; status: ItemStatus; content: OutputText[] }
  | {
      type: 'function_call'
      id: string
      call_id: string
      name: string
      arguments: string
      status: ItemStatus
    }
  | {
      type: 'reasoning'
      id: string
      summary: never[]
      content: Array<{ type: 'reasoning_text'; text: string }>
      encrypted_content?: string
      status: ItemStatus
    }

export interface ResponseUsage {
  input_tokens: number
  input_tokens_details: { cached_tokens: number; cache_write_tokens: number }
  output_tokens: number
  output_tokens_details: { reasoning_tokens: number }
  total_tokens: number
  octavo_cache: PrefixSource
}

export interface ResponseObject {
  id: string
  object: 'response'
  created_at: number
  completed_at: number | null
  status: 'in_progress' | 'completed' | 'incomplete' | 'failed'
  error: { code: string; message: string } | null
  incomplete_details: { reason: 'max_output_tokens' } | null
  output: OutputItem[]
  /** Once it is known. */
  usage?: ResponseUsage
  [echoed: string]: unknown
}

export function newId(prefix: 'resp' | 'msg' | 'fc' | 'rs'): string {
  return `${prefix}_${randomUUID().replaceAll('-', '')}`
}

export function unixNow(): number {
  return Math.floor(Date.now() / 1000)
}

export function toResponseUsage(
  { promptTokens, completionTokens, cached }: RequestUsage,
  reasoningTokens: number
): ResponseUsage {
  return {
    input_tokens: promptTokens,
    input_tokens_details: {
      cached_tokens: cached.resident + cached.ram + cached.disk,
      cache_write_tokens: 0
    },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
    octavo_cache: prefixSource(cached)
  }
}

/** The object as it is when the request has just been admitted: the request's own fields are told again. */
export function newResponse(body: ResponseRequest, id: string, model: string): ResponseObject {
  return {
    id,
    object: 'response',
    created_at: unixNow(),
    completed_at: null,
    status: 'in_progress',
    background: false,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    metadata: body.metadata ?? {},
    model,
    output: [],
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: { format: body.text?.format ?? { type: 'text' }, verbosity: body.text?.verbosity ?? 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: (body.tools ?? []).map(tool =>
      tool.type === 'function'
        ? {
            type: 'function',
            name: tool.name,
            description: tool.description ?? null,
            parameters: tool.parameters ?? null,
            strict: tool.strict ?? false
          }
        : tool
    ),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? 1,
    truncation: body.truncation ?? 'disabled',
    ...(body.user === undefined ? {} : { user: body.user })
  }
}
