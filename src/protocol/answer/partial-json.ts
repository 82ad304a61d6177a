/**
 * JSON that was cut off, as far as it says something: open strings, arrays and objects are closed; a member or an item
 * that is not known yet (a key without a value, half a word) is left out.
 *
 *     {"city": "Par      ->  {"city": "Par"}
 *     {"a": 1, "b": tr   ->  {"a": 1}
 *
 * @returns undefined when nothing was written, or something that is no beginning of JSON
 */
export function partialJson(text: string): unknown {
  const whole = parse(text)
  if (whole !== undefined) return whole
  for (const candidate of completions(text)) {
    const value = parse(candidate)
    if (value !== undefined) return value
  }
  return undefined
}

/** The longest first: with its last string closed, then without whatever follows the last complete value. */
function completions(text: string): string[] {
  const { open, inString, escapedFrom, safe } = scan(text)
  const kept = escapedFrom >= 0 ? text.slice(0, escapedFrom) : text
  const before = text.slice(0, safe)
  return [`${kept}${inString ? '"' : ''}${closing(open)}`, before + closing(scan(before).open)]
}

interface Scanned {
  /** What closes the objects and arrays that are open. */
  open: string[]
  inString: boolean
  /** Where an escape sequence begins that is not complete; -1: none. */
  escapedFrom: number
  /** Up to here the text can be closed. */
  safe: number
}

function scan(text: string): Scanned {
  const open: string[] = []
  let inString = false
  let escapedFrom = -1
  let safe = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string
    if (inString) {
      if (escapedFrom >= 0) {
        const length = text[escapedFrom + 1] === 'u' ? 6 : 2
        if (at - escapedFrom + 1 >= length) escapedFrom = -1
      } else if (char === '\\') escapedFrom = at
      else if (char === '"') {
        inString = false
        // In an object it may have been a key.
        if (open.at(-1) === ']') safe = at + 1
      }
    } else if (char === '"') inString = true
    else if (char === '{' || char === '[') {
      open.push(char === '{' ? '}' : ']')
      safe = at + 1
    } else if (char === '}' || char === ']') {
      open.pop()
      safe = at + 1
    } else if (char === ',') safe = at
  }
  return { open, inString, escapedFrom, safe }
}

function closing(open: readonly string[]): string {
  return open.toReversed().join('')
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
