import type { MessagesRequest } from './schema.js'

/**
 * Claude Code's first system block or line: it changes with every request (it holds a hash), which would end the cached
 * prefix right at the beginning. It says nothing to the model, so it is left out of the prompt.
 */
const billing = /^x-anthropic-billing-header:[^\n]*(?:\n+|$)/

/** The system prompt as one text; '' when there is none. */
export function systemText(system: MessagesRequest['system']): string {
  const texts = typeof system === 'string' ? [system] : (system ?? []).map(block => block.text)
  const [first, ...rest] = texts
  if (first === undefined) return ''
  return [first.replace(billing, ''), ...rest].filter(text => text !== '').join('\n')
}
