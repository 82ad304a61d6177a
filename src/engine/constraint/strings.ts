/** JSON strings as grammar: any string, or the strings whose content an automaton accepts. */
import { type Dfa, intersection, ofLength } from './automaton.js'
import { type CharSet, charsOf, complement, intersect, union } from './charset.js'
import { alt, chars, type Node, ref, repeat, seq, text } from './grammar.js'
import { patternDfa } from './regex.js'
import { automatonRules } from './rules.js'

const CONTROL: CharSet = [[0, 0x1f]]
const QUOTED = charsOf('"\\')
/** Characters that stand for themselves in a JSON string. */
const RAW = complement(union(CONTROL, QUOTED))
const HEX: CharSet = [
  [0x30, 0x39],
  [0x41, 0x46],
  [0x61, 0x66]
]
const SHORT: ReadonlyArray<readonly [code: number, letter: string]> = [
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
  [0x22, '"'],
  [0x5c, '\\']
]

/**
 * Any JSON string. Escaped surrogates come in pairs only, so that one character of the text is one of the value.
 * Right-recursive by way of the repeat; printed as an automaton.
 */
export const ANY_STRING: Node = seq(
  text('"'),
  repeat(
    alt(
      chars(RAW),
      seq(
        text('\\'),
        alt(
          chars(charsOf('"\\/bfnrt')),
          seq(
            text('u'),
            alt(
              seq(chars(intersect(HEX, complement(charsOf('dD')))), hex(3)),
              seq(chars(charsOf('dD')), chars([[0x30, 0x37]]), hex(2)),
              seq(
                chars(charsOf('dD')),
                chars(charsOf('89abAB')),
                hex(2),
                text('\\u'),
                chars(charsOf('dD')),
                chars(charsOf('cdefCDEF')),
                hex(2)
              )
            )
          )
        )
      )
    ),
    0,
    null
  ),
  text('"')
)

function hex(count: number): Node {
  return repeat(chars(HEX), count, count)
}

export interface StringLimits {
  minLength: number
  maxLength: number | null
  /** Each must be found in the content. */
  patterns: string[]
}

/**
 * The content that the limits allow; null when they allow everything.
 * @throws PatternError, TooManyStatesError
 */
export function contentDfa({ minLength, maxLength, patterns }: StringLimits): Dfa | null {
  const parts = patterns.map(patternDfa)
  if (minLength > 0 || maxLength !== null) parts.push(ofLength(minLength, maxLength))
  return parts.length === 0 ? null : parts.reduce(intersection)
}

/**
 * Rules for JSON strings with this content; the string itself is the rule `name`. Every character is written in one way
 * only: as it is, or with a short escape; other control characters do not occur.
 */
export function stringRules(name: string, content: Dfa): Array<[name: string, node: Node]> {
  return [
    [name, seq(text('"'), ref(`${name}.content`))],
    ...automatonRules(`${name}.content`, content, text('"'), encoded)
  ]
}

function encoded(on: CharSet): Node[] {
  const raw = intersect(on, RAW)
  const letters = SHORT.filter(([code]) => on.some(([a, b]) => code >= a && code <= b)).map(
    ([, letter]) => letter
  )
  const nodes: Node[] = []
  if (raw.length > 0) nodes.push(chars(raw))
  if (letters.length > 0) nodes.push(seq(text('\\'), chars(charsOf(letters.join('')))))
  return nodes
}
