/** A request to `/v1/messages` as the engine's own request. Pure: no lookup, no I/O. */
import { type ConversationContext, type GenerationPlan, planGeneration } from '../conversation.js'
import { invalidValue, unsupportedValue } from '../errors.js'
import { type ToolUse, toolUse } from '../openai/chat-tools.js'
import { hasSeed, toSamplerParams, toStops } from '../openai/sampling.js'
import type { TemplateInput, TemplateTool } from '../template/types.js'
import { type TemplateConversation, toConversation } from './messages.js'
import type { CountTokensRequest, MessagesRequest } from './schema.js'

/** What the fields of a GenerationRequest are called here, for the engine's own refusals. */
export function messagesParamNames(body: CountTokensRequest): Record<string, string> {
  return {
    prompt: 'messages',
    maxTokens: 'max_tokens',
    sampling: 'temperature',
    stop: 'stop_sequences',
    constraint: (body.tools?.length ?? 0) > 0 ? 'tools' : 'output_config.format',
    schema: 'output_config.format.schema',
    parameters: 'input_schema'
  }
}

interface Prompt extends TemplateConversation {
  input: TemplateInput
  use: ToolUse
}

/**
 * The part of a request that makes the prompt; needs no model.
 * @throws ApiError
 */
export function toPrompt(body: CountTokensRequest): Prompt {
  const conversation = toConversation(body)
  const use = toToolUse(body)
  const variables = {
    // Anthropic's models think only when asked to.
    enable_thinking: body.thinking !== undefined && body.thinking.type !== 'disabled',
    ...(body.output_config?.effort == null ? {} : { reasoning_effort: body.output_config.effort })
  }
  return { ...conversation, use, input: { messages: conversation.messages, tools: use.tools, variables } }
}

/** @throws ApiError */
export function planMessage(body: MessagesRequest, context: ConversationContext): GenerationPlan {
  const { input, use, prefill } = toPrompt(body)
  const { temperature, top_p, top_k, seed } = body
  const format = body.output_config?.format ?? body.output_format
  if (format && prefill !== '') {
    const last = `messages.${body.messages.length - 1}`
    throw invalidValue(last, 'an answer that has begun cannot be kept to a format.')
  }
  return planGeneration(
    {
      input,
      prefill,
      calling: use.calling,
      constraint: format ? { type: 'json_schema', schema: format.schema, strict: true } : null,
      sampling: toSamplerParams({ temperature, top_p, top_k, seed }, context.vocabularySize),
      maxTokens: body.max_tokens,
      choices: 1,
      stop: toStops(body.stop_sequences),
      ignoreEndOfText: false,
      logprobs: null,
      cachePrompt: true,
      cacheSalt: body.cache_salt ?? null,
      reproducible: hasSeed({ seed })
    },
    context
  )
}

function toToolUse(body: CountTokensRequest): ToolUse {
  const tools = (body.tools ?? []).map((tool, index): TemplateTool => {
    if (tool.type != null && tool.type !== 'custom') {
      throw unsupportedValue(
        `tools.${index}.type`,
        `only tools of the client's own can be called, not '${tool.type}'.`
      )
    }
    const { name, description, input_schema, strict } = tool
    return {
      type: 'function',
      function: {
        name,
        ...(description === undefined ? {} : { description }),
        parameters: input_schema ?? null,
        ...(strict === true ? { strict } : {})
      }
    }
  })
  const choice = body.tool_choice ?? { type: 'auto' }
  if (choice.type === 'none') return toolUse(tools, tools, 'none', false)
  const parallel = choice.disable_parallel_tool_use !== true
  if (choice.type === 'tool') return toolUse(tools, tools, { name: choice.name }, parallel)
  return toolUse(tools, tools, choice.type === 'any' ? 'required' : 'auto', parallel)
}
