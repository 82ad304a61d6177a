/** A request to `/v1/responses` as the engine's own request. Pure: no lookup, no I/O. */
import type { Static } from 'typebox'
import {
  type Conversation,
  type ConversationContext,
  type GenerationPlan,
  planGeneration
} from '../../conversation.js'
import { invalidValue, unsupportedValue } from '../../errors.js'
import type { TemplateInput, TemplateTool } from '../../template/types.js'
import { findAllowed, type ToolUse, toolUse } from '../chat-tools.js'
import { hasSeed, toSamplerParams } from '../sampling.js'
import { itemsToMessages, type StoredItem } from './items.js'
import type { InputTokensRequest, ResponseRequest } from './schema.js'

/** What the fields of a GenerationRequest are called here, for the engine's own refusals. */
export function responseParamNames(body: PromptBody): Record<string, string> {
  return {
    prompt: 'input',
    maxTokens: 'max_output_tokens',
    sampling: 'temperature',
    logprobs: 'top_logprobs',
    constraint: (body.tools?.length ?? 0) > 0 ? 'tools' : 'text.format',
    schema: 'text.format.schema'
  }
}

type PromptBody = Static<typeof InputTokensRequest>

/**
 * Everything that is wrong with a request and needs neither model nor engine.
 * @throws ApiError
 */
export function checkResponseRequest(body: ResponseRequest): void {
  if (body.background === true) {
    throw unsupportedValue('background', 'answers are only given while the client waits.')
  }
  if (body.prompt != null) throw unsupportedValue('prompt', 'there are no stored prompts here.')
  if (body.stream_options != null && body.stream !== true) {
    throw invalidValue('stream_options', "it is only allowed together with 'stream': true.")
  }
}

/** @throws ApiError */
export function checkPromptFields(body: PromptBody): void {
  if (body.conversation != null) {
    throw unsupportedValue('conversation', "use 'previous_response_id' to go on with a conversation.")
  }
  if (body.input === undefined || (body.input.length === 0 && body.previous_response_id == null)) {
    throw invalidValue('input', 'it must not be empty.')
  }
  toToolUse(body)
}

/**
 * @param items of the whole conversation, oldest first
 * @throws ApiError
 */
export function toResponseInput(body: PromptBody, items: readonly StoredItem[]): TemplateInput {
  const messages = itemsToMessages(items)
  const { instructions } = body
  if (instructions != null && instructions !== '') {
    const first = messages[0]
    if (first?.role === 'system') {
      messages[0] = { ...first, content: `${instructions}\n\n${first.content}` }
    } else messages.unshift({ role: 'system', content: instructions })
  }
  const effort = body.reasoning?.effort
  return {
    messages,
    tools: toToolUse(body).tools,
    variables: {
      ...(effort == null ? {} : { reasoning_effort: effort }),
      ...(effort === 'none' ? { enable_thinking: false } : {}),
      ...body.chat_template_kwargs
    }
  }
}

/** @throws ApiError */
export function planResponse(
  body: ResponseRequest,
  items: readonly StoredItem[],
  context: ConversationContext
): GenerationPlan {
  const { temperature, top_p, top_k, min_p, seed } = body
  const wantsLogprobs = wantsOutputLogprobs(body)
  return planGeneration(
    {
      input: toResponseInput(body, items),
      calling: toToolUse(body).calling,
      constraint: toConstraint(body),
      sampling: toSamplerParams({ temperature, top_p, top_k, min_p, seed }, context.vocabularySize),
      maxTokens: body.max_output_tokens ?? null,
      choices: 1,
      stop: [],
      ignoreEndOfText: false,
      logprobs: wantsLogprobs ? (body.top_logprobs ?? 0) : null,
      cachePrompt: true,
      cacheSalt: body.cache_salt ?? null,
      reproducible: hasSeed({ seed })
    },
    context
  )
}

export function wantsOutputLogprobs(body: ResponseRequest): boolean {
  return body.include?.includes('message.output_text.logprobs') === true || (body.top_logprobs ?? 0) > 0
}

function toConstraint(body: ResponseRequest): Conversation['constraint'] {
  const format = body.text?.format
  if (format === undefined || format.type === 'text') return null
  if (format.type === 'json_object') return { type: 'json_object' }
  return { type: 'json_schema', schema: format.schema, strict: format.strict ?? false }
}

function toToolUse(body: PromptBody): ToolUse {
  const tools = (body.tools ?? []).map((tool, index): TemplateTool => {
    if (tool.type !== 'function') {
      throw unsupportedValue(
        `tools.${index}.type`,
        `only tools of type 'function' can be called, not '${tool.type}'.`
      )
    }
    // The same keys in the same order as in chat completions, so that both share their prefix.
    const { name, description, parameters, strict } = tool
    return {
      type: 'function',
      function: {
        name,
        ...(description == null ? {} : { description }),
        ...(parameters == null ? {} : { parameters }),
        ...(strict == null ? {} : { strict })
      }
    }
  })
  const choice = body.tool_choice ?? 'auto'
  const parallel = body.parallel_tool_calls
  if (typeof choice === 'string')
    return toolUse(tools, tools, choice as 'none' | 'auto' | 'required', parallel)
  if (choice.type === 'function') return toolUse(tools, tools, { name: choice.name }, parallel)
  if (choice.type === 'allowed_tools') {
    return toolUse(tools, findAllowed(choice.tools, tools, 'tool_choice.tools'), choice.mode, parallel)
  }
  throw unsupportedValue('tool_choice', `only functions can be called, not '${choice.type}'.`)
}
