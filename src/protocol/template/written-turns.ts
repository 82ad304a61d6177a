/**
 * Prefix hygiene: an assistant turn that comes back as history is rendered by the template with other blanks and other
 * JSON than the model had written, and the cached prefix ends there. Where the template's rendering and the remembered
 * text read as the same message, the remembered text takes its place.
 *
 *   template's text   | frame 0 | turn A as rendered | frame 1 | turn B as rendered | frame 2 |
 *   with placeholders | frame 0 | #0                 | frame 1 | #1                 | frame 2 |   finds the frames
 *   result            | frame 0 | turn A as written  | frame 1 | turn B as written  | frame 2 |
 */
import type { DrawnText, TemplateMessage, WrittenTurn } from './types.js'

export interface RestoredText {
  text: string
  /** Where an offset of the template's text is now. */
  move(offset: number): number
  /** Turns that were remembered and could not be put back. */
  rewritten: number
  drawn: DrawnText[]
}

interface Piece {
  start: number
  end: number
  text: string
}

/**
 * @param messages as the template is given them, `written` where it is remembered
 * @param text the template's rendering of them
 * @param render renders other messages in the same way; may throw
 * @param readsAs whether two texts of an assistant turn are the same message
 */
export function restoreWritten(
  messages: readonly TemplateMessage[],
  text: string,
  render: (messages: TemplateMessage[]) => string,
  readsAs: (a: string, b: string) => boolean
): RestoredText {
  const known = messages.flatMap((message, index) => (message.written ? [index] : []))
  const unchanged = { text, move: (offset: number) => offset, rewritten: known.length, drawn: [] }
  if (known.length === 0) return unchanged
  const withoutCalls = known.filter(index => !messages[index]?.tool_calls?.length)
  for (const indexes of [known, withoutCalls]) {
    if (indexes.length === 0) continue
    const frames = findFrames(messages, indexes, text, render)
    if (!frames) continue
    const written = indexes.map(index => messages[index]?.written as WrittenTurn)
    const restored = putBack(text, frames, written, readsAs)
    return { ...restored, rewritten: restored.rewritten + known.length - indexes.length }
  }
  return unchanged
}

/** Where the turns stand in the template's text; undefined when its frames cannot be told from it. */
function findFrames(
  messages: readonly TemplateMessage[],
  indexes: number[],
  text: string,
  render: (messages: TemplateMessage[]) => string
): Array<{ start: number; end: number }> | undefined {
  const mark = (index: number) => `octavo-turn-${index}-of-${messages.length}-`
  const marked = messages.map(
    (message, index): TemplateMessage =>
      indexes.includes(index) ? { role: 'assistant', content: mark(index) } : message
  )
  let rest: string
  try {
    rest = render(marked)
  } catch {
    return undefined
  }
  const frames: string[] = []
  for (const index of indexes) {
    const at = rest.indexOf(mark(index))
    if (at < 0) return undefined
    frames.push(rest.slice(0, at))
    rest = rest.slice(at + mark(index).length)
  }
  if (!text.startsWith(frames[0] as string)) return undefined
  const turns: Array<{ start: number; end: number }> = []
  let at = (frames[0] as string).length
  for (const frame of [...frames.slice(1), rest]) {
    const last = turns.length === indexes.length - 1
    const end = last ? (text.endsWith(frame) ? text.length - frame.length : -1) : text.indexOf(frame, at)
    if (end < at) return undefined
    turns.push({ start: at, end })
    at = end + frame.length
  }
  return turns
}

function putBack(
  text: string,
  turns: ReadonlyArray<{ start: number; end: number }>,
  written: readonly WrittenTurn[],
  readsAs: (a: string, b: string) => boolean
): RestoredText {
  const pieces: Piece[] = []
  let result = ''
  let at = 0
  let rewritten = 0
  const drawn: DrawnText[] = []
  turns.forEach(({ start, end }, i) => {
    result += text.slice(at, start)
    at = end
    const rendered = text.slice(start, end)
    const turn = written[i] as WrittenTurn
    const opened = opening(result, turn.lead)
    const own = opened + turn.text
    if (readsAs(rendered, own)) {
      pieces.push({ start, end, text: own })
      const from = result.length + opened.length
      result += own
      if (turn.tokens) drawn.push({ start: from, end: result.length, tokens: turn.tokens })
    } else {
      rewritten += 1
      result += rendered
    }
  })
  const move = (offset: number) => {
    const before = pieces.filter(piece => piece.end <= offset)
    return before.reduce((sum, piece) => sum + piece.text.length - (piece.end - piece.start), offset)
  }
  return { text: result + text.slice(at), move, rewritten, drawn }
}

/** What the generation prompt holds beyond the header of a turn, e.g. `<think>`: it belongs to what was written. */
function opening(before: string, lead: string): string {
  for (let length = lead.length; length > 0; length -= 1) {
    if (before.endsWith(lead.slice(0, length))) return lead.slice(length)
  }
  return lead
}
