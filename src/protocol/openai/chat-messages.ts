/** A chat request's messages, as chat templates expect them. */
import { partialJson } from '../answer/partial-json.js'
import { ApiError, invalidValue, unsupportedValue } from '../errors.js'
import { mostLevels, nestedDeeper } from '../nesting.js'
import type { TemplateMessage, TemplateToolCall } from '../template/types.js'
import type { ChatMessage } from './schema/content.js'

type Content = NonNullable<Extract<ChatMessage, { role: 'user' | 'assistant' }>['content']>

/** @throws ApiError for content that this server cannot take (images, audio, files) */
export function toTemplateMessages(messages: ChatMessage[]): TemplateMessage[] {
  return messages.map((message, index) => toTemplateMessage(message, `messages.${index}`))
}

function toTemplateMessage(message: ChatMessage, path: string): TemplateMessage {
  switch (message.role) {
    case 'system':
    case 'developer':
      return { role: 'system', content: joinText(message.content, path), ...named(message.name) }
    case 'user':
      return { role: 'user', content: joinText(message.content, path), ...named(message.name) }
    case 'assistant':
      return toAssistantMessage(message, path)
    case 'tool':
      return {
        role: 'tool',
        content: joinText(message.content, path),
        tool_call_id: message.tool_call_id
      }
    case 'function':
      return { role: 'tool', content: message.content ?? '', name: message.name }
  }
}

function toAssistantMessage(
  message: Extract<ChatMessage, { role: 'assistant' }>,
  path: string
): TemplateMessage {
  const calls = toToolCalls(message, path)
  const content = message.content == null ? (message.refusal ?? '') : joinText(message.content, path)
  return {
    role: 'assistant',
    content,
    ...named(message.name),
    ...(message.reasoning_content ? { reasoning_content: message.reasoning_content } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {})
  }
}

function toToolCalls(message: Extract<ChatMessage, { role: 'assistant' }>, path: string): TemplateToolCall[] {
  const calls = (message.tool_calls ?? []).map((call, index): TemplateToolCall => {
    if (call.type === 'custom') {
      return {
        id: call.id,
        type: 'function',
        function: { name: call.custom.name, arguments: { input: call.custom.input } }
      }
    }
    const name = `${path}.tool_calls.${index}.function.arguments`
    return {
      id: call.id,
      type: 'function',
      function: { name: call.function.name, arguments: parseArguments(call.function.arguments, name) }
    }
  })
  if (calls.length > 0 || !message.function_call) return calls
  const { name, arguments: text } = message.function_call
  const args = parseArguments(text, `${path}.function_call.arguments`)
  return [{ id: 'call_0', type: 'function', function: { name, arguments: args } }]
}

/**
 * Templates want the object. A model may have been cut off while it wrote the JSON: then they get what there is of it;
 * of what is no JSON at all, the text.
 */
export function parseArguments(text: string, name: string): unknown {
  if (text.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return bounded(value, name)
  } catch (error) {
    if (error instanceof ApiError) throw error
    const part = partialJson(text)
    return typeof part === 'object' && part !== null ? bounded(part, name) : text
  }
  throw invalidValue(name, 'the JSON must be an object.')
}

function bounded(value: object, name: string): object {
  if (nestedDeeper(value)) throw invalidValue(name, `the JSON is nested deeper than ${mostLevels} levels.`)
  return value
}

function joinText(content: Content, path: string): string {
  if (typeof content === 'string') return content
  return content
    .map((part, index) => {
      if (part.type === 'text') return part.text
      if (part.type === 'refusal') return part.refusal
      throw unsupportedValue(
        `${path}.content.${index}.type`,
        `this model takes text only, not parts of type '${part.type}'.`
      )
    })
    .join('')
}

function named(name: string | undefined): { name?: string } {
  return name === undefined ? {} : { name }
}
