import type { TemplateMessage } from './types.js'

/** For templates without a system role: system text goes in front of the next user turn (of the last one, at the end). */
export function mergeSystem(messages: TemplateMessage[]): TemplateMessage[] {
  const merged: TemplateMessage[] = []
  let pending: string[] = []
  for (const message of messages) {
    if (message.role === 'system') pending.push(message.content)
    else if (message.role === 'user' && pending.length > 0) {
      merged.push({ ...message, content: [...pending, message.content].join('\n\n') })
      pending = []
    } else merged.push(message)
  }
  if (pending.length > 0) merged.push({ role: 'user', content: pending.join('\n\n') })
  return merged
}
