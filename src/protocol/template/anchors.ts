import type { TemplateMessage } from './types.js'

/** Rendering a message costs as much as so many characters (20 to 60 microseconds, however short it is). */
const messageCost = 1000

/**
 * Finds where a prefix of the conversation ends in the rendered text: after the leading system messages (with the
 * tools), and after user turns and tool results, the last ones first. It is found by rendering the first messages alone: where
 * that is a prefix of the whole text, its length is the offset; templates that write a message differently once it is
 * history give none.
 *
 * @param prefix renders the first `count` messages without a generation prompt; may throw
 * @param budget most characters to render for this, a message counting as 1000: what one request may cost the server's
 *   event loop
 */
export function findAnchors(
  messages: TemplateMessage[],
  text: string,
  prefix: (count: number) => string,
  budget: number
): number[] {
  const anchors = new Set<number>()
  let left = budget
  for (const count of boundaries(messages)) {
    if (left <= 0) break
    const rendered = attempt(prefix, count)
    if (rendered === undefined) continue
    left -= rendered.length + count * messageCost
    if (rendered.length > 0 && text.startsWith(rendered)) anchors.add(rendered.length)
  }
  return [...anchors].sort((a, b) => a - b)
}

/** Numbers of leading messages worth an anchor, the most useful first. */
function boundaries(messages: TemplateMessage[]): number[] {
  const found: number[] = []
  const system = messages.findIndex(message => message.role !== 'system')
  if (system > 0) found.push(system)
  for (let count = messages.length; count > 0; count -= 1) {
    const role = messages[count - 1]?.role
    const endsTurn = role === 'user' || (role === 'tool' && messages[count]?.role !== 'tool')
    if (endsTurn) found.push(count)
  }
  return found
}

function attempt(prefix: (count: number) => string, count: number): string | undefined {
  try {
    return prefix(count)
  } catch {
    return undefined
  }
}
