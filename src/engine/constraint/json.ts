/** The parts that every JSON grammar shares, as rules by fixed names. */
import { alt, chars, type Node, optional, ref, repeat, seq, text } from './grammar.js'
import { ANY_NUMBER } from './numbers.js'
import { ANY_STRING } from './strings.js'

/** Between tokens: nothing, one space, or a new line with its indentation. What models write; it cannot go on for ever. */
export const WHITESPACE = ref('ws')
export const COLON: Node = seq(text(':'), optional(text(' ')))
export const COMMA: Node = seq(text(','), WHITESPACE)

export const ANY_VALUE = ref('value')
export const ANY_OBJECT = ref('object')
export const ANY_ARRAY = ref('array')
export const STRING = ref('string')
export const NUMBER = ref('number')

export function jsonRules(): Array<[string, Node]> {
  const member = seq(STRING, COLON, ANY_VALUE)
  return [
    [
      'ws',
      alt(
        text(''),
        text(' '),
        seq(
          text('\n'),
          repeat(
            chars([
              [0x20, 0x20],
              [0x09, 0x09]
            ]),
            0,
            20
          )
        )
      )
    ],
    ['string', ANY_STRING],
    ['number', ANY_NUMBER],
    ['value', alt(ANY_OBJECT, ANY_ARRAY, STRING, NUMBER, text('true'), text('false'), text('null'))],
    ['object', braces(optional(seq(member, repeat(seq(COMMA, member), 0, null))))],
    ['array', brackets(optional(seq(ANY_VALUE, repeat(seq(COMMA, ANY_VALUE), 0, null))))]
  ]
}

export function braces(members: Node): Node {
  return seq(text('{'), WHITESPACE, members, WHITESPACE, text('}'))
}

export function brackets(items: Node): Node {
  return seq(text('['), WHITESPACE, items, WHITESPACE, text(']'))
}

/** One given value, with the same freedom of white space. */
export function literal(value: unknown): Node {
  if (Array.isArray(value)) {
    return brackets(seq(...value.flatMap((item, i) => (i > 0 ? [COMMA, literal(item)] : [literal(item)]))))
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, item]) =>
      seq(text(JSON.stringify(key)), COLON, literal(item))
    )
    return braces(seq(...members.flatMap((member, i) => (i > 0 ? [COMMA, member] : [member]))))
  }
  return text(JSON.stringify(value))
}
