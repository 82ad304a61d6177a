/** Anthropic's messages, as chat templates expect them. */
import { invalidValue, unsupportedValue } from '../errors.js'
import type { TemplateMessage } from '../template/types.js'
import type { ContentBlock, Message, MessagesRequest } from './schema.js'
import { systemText } from './system.js'

export interface TemplateConversation {
  messages: TemplateMessage[]
  /** Text of a last message of the assistant's, which the answer goes on with; '' when there is none. */
  prefill: string
}

/** @throws ApiError for content that this server cannot take, and for blocks that do not belong to their role */
export function toConversation(body: Pick<MessagesRequest, 'messages' | 'system'>): TemplateConversation {
  const messages: TemplateMessage[] = []
  const system = systemText(body.system)
  if (system !== '') messages.push({ role: 'system', content: system })
  body.messages.forEach((message, index) => {
    const path = `messages.${index}`
    const converted =
      message.role === 'user' ? fromUser(message.content, path) : [fromAssistant(message.content, path)]
    for (const each of converted) append(messages, each)
  })
  const last = messages.at(-1)
  if (last?.role !== 'assistant') return { messages, prefill: '' }
  if (last.tool_calls) {
    throw invalidValue(
      `messages.${body.messages.length - 1}`,
      "a 'tool_use' must be followed by its 'tool_result'."
    )
  }
  return { messages: messages.slice(0, -1), prefill: last.content.trimEnd() }
}

/** Messages of one role in a row are one turn. */
function append(messages: TemplateMessage[], message: TemplateMessage): void {
  const last = messages.at(-1)
  if (last?.role !== message.role || message.role === 'tool') {
    messages.push(message)
    return
  }
  const { tool_calls: calls, reasoning_content: reasoning } = message
  messages[messages.length - 1] = {
    ...last,
    content: [last.content, message.content].filter(text => text !== '').join('\n'),
    ...(calls ? { tool_calls: [...(last.tool_calls ?? []), ...calls] } : {}),
    ...(reasoning ? { reasoning_content: [last.reasoning_content ?? '', reasoning].join('') } : {})
  }
}

/** Tool results and text, in the client's order. */
function fromUser(content: Message['content'], path: string): TemplateMessage[] {
  if (typeof content === 'string') return [{ role: 'user', content }]
  const messages: TemplateMessage[] = []
  content.forEach((block, index) => {
    const at = `${path}.content.${index}`
    if (block.type === 'tool_result') {
      messages.push({
        role: 'tool',
        tool_call_id: block.tool_use_id,
        content: resultText(block, at)
      })
    } else append(messages, { role: 'user', content: textOf(block, at) })
  })
  return messages.length > 0 ? messages : [{ role: 'user', content: '' }]
}

function resultText(block: Extract<ContentBlock, { type: 'tool_result' }>, path: string): string {
  const { content } = block
  if (content == null || typeof content === 'string') return content ?? ''
  return content.map((part, index) => textOf(part as ContentBlock, `${path}.content.${index}`)).join('\n')
}

function fromAssistant(content: Message['content'], path: string): TemplateMessage {
  if (typeof content === 'string') return { role: 'assistant', content }
  const texts: string[] = []
  const thoughts: string[] = []
  const calls: NonNullable<TemplateMessage['tool_calls']> = []
  content.forEach((block, index) => {
    if (block.type === 'thinking') thoughts.push(block.thinking)
    else if (block.type === 'tool_use') {
      calls.push({ id: block.id, type: 'function', function: { name: block.name, arguments: block.input } })
    } else if (block.type !== 'redacted_thinking') texts.push(textOf(block, `${path}.content.${index}`))
  })
  return {
    role: 'assistant',
    content: texts.join(''),
    ...(thoughts.length > 0 ? { reasoning_content: thoughts.join('') } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {})
  }
}

function textOf(block: ContentBlock, path: string): string {
  if (block.type === 'text') return block.text
  if (block.type === 'document' && block.source.type === 'text') return block.source.data ?? ''
  if (block.type === 'tool_use' || block.type === 'tool_result' || block.type.endsWith('thinking')) {
    throw invalidValue(`${path}.type`, `a '${block.type}' does not belong here.`)
  }
  throw unsupportedValue(`${path}.type`, `this model takes text only, not '${block.type}'.`)
}
