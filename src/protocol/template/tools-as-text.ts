import { describeTools } from '../tools/describe.js'
import type { TemplateInput, TemplateMessage, TemplateToolCall } from './types.js'

/**
 * For templates that know nothing of tools, or speak a dialect that is not read here: tools are described in the system
 * message, calls are written into the assistant's text and results into user turns, in Hermes' syntax.
 */
export function toolsAsText(input: TemplateInput): TemplateInput {
  const messages: TemplateMessage[] = []
  let results = false
  for (const message of input.messages) {
    if (message.role === 'tool') {
      const text = `<tool_response>\n${message.content}\n</tool_response>`
      const last = messages.at(-1)
      // Templates with strict turns take one user message between two of the assistant's.
      if (results && last) last.content += `\n${text}`
      else messages.push({ role: 'user', content: text })
      results = true
      continue
    }
    const last = messages.at(-1)
    if (results && last && message.role === 'user') last.content += `\n\n${message.content}`
    else messages.push(message.role === 'assistant' ? withCalls(message) : message)
    results = false
  }
  if (input.tools.length > 0) describe(messages, input)
  return { ...input, messages, tools: [] }
}

function describe(messages: TemplateMessage[], input: TemplateInput): void {
  const text = describeTools(input.tools.map(tool => tool.function))
  const first = messages[0]
  if (first?.role === 'system') messages[0] = { ...first, content: `${first.content}\n\n${text}` }
  else messages.unshift({ role: 'system', content: text })
}

function withCalls(message: TemplateMessage): TemplateMessage {
  const { tool_calls: calls, ...rest } = message
  if (!calls || calls.length === 0) return rest
  const texts = calls.map(callText)
  return { ...rest, content: [message.content, ...texts].filter(text => text !== '').join('\n') }
}

function callText({ function: { name, arguments: args } }: TemplateToolCall): string {
  const json = typeof args === 'string' ? args : JSON.stringify(args)
  return `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${json}}\n</tool_call>`
}
