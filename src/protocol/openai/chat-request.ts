/** A chat request as the engine's own request. Pure: no lookup, no I/O. */
import type { Constraint, GenerationRequest } from '../../engine/messages.js'
import { invalidValue, unsupportedValue } from '../errors.js'
import type { RenderedPrompt, TemplateInput } from '../template/types.js'
import { toTemplateMessages, toTemplateTools } from './chat-messages.js'
import { hasSeed, toSamplerParams, toStops } from './sampling.js'
import type { ChatRequest } from './schema/chat.js'

/** Who asks. Decides what caches are shared and whose turn it is. */
export interface Caller {
  /** Part of every cache key; '' when all callers share (no keys configured). */
  salt: string
  /** API key (hashed) or address. */
  tenant: string
}

export interface ChatContext {
  caller: Caller
  vocabularySize: number
  /** The model's chat template; throws `template_error`. */
  render(input: TemplateInput): RenderedPrompt
}

/** What the fields of a GenerationRequest are called in a chat request, for the engine's own refusals. */
export function chatParamNames(body: ChatRequest): Record<string, string> {
  return {
    prompt: 'messages',
    choices: 'n',
    maxTokens: 'max_tokens',
    sampling: 'temperature',
    'sampling.logitBias': 'logit_bias',
    logprobs: 'top_logprobs',
    constraint: body.grammar == null ? 'response_format' : 'grammar'
  }
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
  toConstraint(body)
}

/** @throws ApiError */
export function toGenerationRequest(body: ChatRequest, context: ChatContext): GenerationRequest {
  checkChatRequest(body)
  const sampling = toSamplerParams(body, context.vocabularySize)
  const prompt = context.render(toTemplateInput(body))
  return {
    prompt: [{ type: 'text', parseSpecial: true, ...prompt }],
    maxTokens: maxTokens(body),
    choices: body.n ?? 1,
    sampling,
    stop: toStops(body.stop),
    ignoreEndOfText: body.ignore_eos ?? false,
    emitSpecial: false,
    logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : null,
    constraint: toConstraint(body),
    cachePrompt: body.cache_prompt ?? true,
    salt: saltOf(context.caller, body.cache_salt),
    tenant: context.caller.tenant,
    priority: 0,
    reproducible: hasSeed(body) && sampling.temperature === 0,
    deadlines: { queue: null, firstToken: null, total: null }
  }
}

/** What the model's template is given; also for routes that only render. */
export function toTemplateInput(
  body: Pick<ChatRequest, 'messages' | 'tools' | 'chat_template_kwargs' | 'reasoning_effort'>
): TemplateInput {
  return {
    messages: toTemplateMessages(body.messages),
    tools: toTemplateTools(body),
    variables: {
      ...(body.reasoning_effort == null ? {} : { reasoning_effort: body.reasoning_effort }),
      ...body.chat_template_kwargs
    }
  }
}

/** Both parts keep their own field, so that no choice of one can imitate another caller's. */
function saltOf(caller: Caller, cacheSalt: string | null | undefined): string {
  if (cacheSalt == null || cacheSalt === '') return caller.salt
  return `${caller.salt}\0${cacheSalt}`
}

/** `max_completion_tokens` is the newer name. -1 (llama.cpp): as many as fit. */
function maxTokens(body: ChatRequest): number | null {
  const name = body.max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens'
  const value = body[name]
  if (value == null || value === -1) return null
  if (value < 1) throw invalidValue(name, `it must be at least 1, got ${value}.`)
  return value
}

function toConstraint(body: ChatRequest): Constraint | null {
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
