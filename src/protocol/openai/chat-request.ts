/** A chat request as the engine's own request. Pure: no lookup, no I/O. */
import type { GenerationRequest } from '../../engine/messages.js'
import {
  type Conversation,
  type ConversationContext,
  type GenerationPlan,
  planGeneration
} from '../conversation.js'
import { invalidValue, unsupportedValue } from '../errors.js'
import type { TemplateInput } from '../template/types.js'
import { toTemplateMessages } from './chat-messages.js'
import { toToolUse } from './chat-tools.js'
import { hasSeed, toSamplerParams, toStops } from './sampling.js'
import type { ChatRequest } from './schema/chat.js'

export type { Caller, ConversationContext as ChatContext } from '../conversation.js'

/** What the fields of a GenerationRequest are called in a chat request, for the engine's own refusals. */
export function chatParamNames(body: ChatRequest): Record<string, string> {
  return {
    prompt: 'messages',
    choices: 'n',
    maxTokens: 'max_tokens',
    sampling: 'temperature',
    'sampling.logitBias': 'logit_bias',
    logprobs: 'top_logprobs',
    constraint: constrainedBy(body),
    schema: 'response_format.json_schema.schema',
    ...(body.tools ? { parameters: 'function.parameters' } : { tools: 'functions' })
  }
}

function constrainedBy(body: ChatRequest): string {
  if (body.grammar != null) return 'grammar'
  return (body.tools?.length ?? 0) > 0 ? 'tools' : 'response_format'
}

/**
 * Everything that is wrong with a request and needs neither model nor engine; the schema has seen to the shapes.
 * @throws ApiError
 */
export function checkChatRequest(body: ChatRequest): void {
  if (body.stream_options != null && body.stream !== true) {
    throw invalidValue('stream_options', "it is only allowed together with 'stream': true.")
  }
  if (body.top_logprobs != null && body.top_logprobs > 0 && body.logprobs !== true) {
    throw invalidValue('top_logprobs', "it is only allowed together with 'logprobs': true.")
  }
  if (body.modalities?.includes('audio')) {
    throw unsupportedValue('modalities', 'this model answers with text only.')
  }
  maxTokens(body)
  const constraint = toConstraint(body)
  if (toToolUse(body).calling && constraint?.type === 'grammar') {
    throw invalidValue('grammar', "it cannot be combined with 'tools'.")
  }
}

/** @throws ApiError */
export function toGenerationRequest(body: ChatRequest, context: ConversationContext): GenerationRequest {
  return planChat(body, context).request
}

/** @throws ApiError */
export function planChat(body: ChatRequest, context: ConversationContext): GenerationPlan {
  checkChatRequest(body)
  const conversation: Conversation = {
    input: toTemplateInput(body),
    calling: toToolUse(body).calling,
    constraint: toConstraint(body),
    sampling: toSamplerParams(body, context.vocabularySize),
    maxTokens: maxTokens(body),
    choices: body.n ?? 1,
    stop: toStops(body.stop),
    ignoreEndOfText: body.ignore_eos ?? false,
    logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : null,
    cachePrompt: body.cache_prompt ?? true,
    cacheSalt: body.cache_salt ?? null,
    reproducible: hasSeed(body)
  }
  return planGeneration(conversation, context)
}

/** What the model's template is given; also for routes that only render. */
export function toTemplateInput(
  body: Pick<
    ChatRequest,
    | 'messages'
    | 'tools'
    | 'tool_choice'
    | 'functions'
    | 'function_call'
    | 'chat_template_kwargs'
    | 'reasoning_effort'
  >
): TemplateInput {
  return {
    messages: toTemplateMessages(body.messages),
    tools: toToolUse(body).tools,
    variables: {
      ...(body.reasoning_effort == null ? {} : { reasoning_effort: body.reasoning_effort }),
      ...(body.reasoning_effort === 'none' ? { enable_thinking: false } : {}),
      ...body.chat_template_kwargs
    }
  }
}

/** `max_completion_tokens` is the newer name. -1 (llama.cpp): as many as fit. */
function maxTokens(body: ChatRequest): number | null {
  const name = body.max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens'
  const value = body[name]
  if (value == null || value === -1) return null
  if (value < 1) throw invalidValue(name, `it must be at least 1, got ${value}.`)
  return value
}

export function toConstraint(
  body: Pick<ChatRequest, 'grammar' | 'response_format'>
): Conversation['constraint'] {
  const format = body.response_format
  const json = format !== undefined && format.type !== 'text'
  if (body.grammar != null) {
    if (json) throw invalidValue('grammar', "it cannot be combined with 'response_format'.")
    return { type: 'grammar', grammar: body.grammar }
  }
  if (!json) return null
  if (format.type === 'json_object' || format.json_schema.schema === undefined) return { type: 'json_object' }
  const { schema, strict } = format.json_schema
  return { type: 'json_schema', schema, strict: strict ?? false }
}
