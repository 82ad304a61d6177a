/**
 * JSON Schema `pattern`: ECMA-262 regular expressions that are regular (no look-around, no back-reference, no word
 * boundary), read into an automaton of the texts in which the pattern is found somewhere, as the keyword means it.
 */
import { BEGIN, compileDfa, type Dfa, END, explore, minimise, step } from './automaton.js'
import { ALL, type CharSet, charSet, charsOf, complement, intersect, union } from './charset.js'
import { alt, chars, type Node, repeat, seq } from './grammar.js'

/** The pattern cannot be used; the message says why. */
export class PatternError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'PatternError'
  }
}

const DIGIT: CharSet = [[0x30, 0x39]]
const WORD: CharSet = charSet([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a]
])
const SPACE: CharSet = union(charsOf('\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff'), [
  [0x2000, 0x200a]
])
const DOT = complement(charsOf('\n\r\u2028\u2029'))
const MAX_LENGTH = 2000
const MAX_REPEAT = 1000
const MAX_NESTING = 50

/** @throws PatternError */
export function patternDfa(pattern: string): Dfa {
  if (pattern.length > MAX_LENGTH) throw new PatternError(`longer than ${MAX_LENGTH} characters`)
  try {
    new RegExp(pattern, 'u')
  } catch (error) {
    throw new PatternError(error instanceof Error ? error.message : 'not a regular expression')
  }
  const found = new Parser(pattern).parse()
  // Begin and end of the text are characters of their own here, so that ^ and $ may stand anywhere in the pattern.
  const anything = repeat(chars([...ALL, [BEGIN, END]]), 0, null)
  const marked = compileDfa(seq(anything, found, anything))
  const start = step(marked, 0, BEGIN)
  if (start === undefined) return { accepts: [false], edges: [[]] }
  return minimise(
    explore(
      start,
      String,
      state => {
        const end = step(marked, state, END)
        return end !== undefined && marked.accepts[end]!
      },
      state =>
        marked.edges[state]!.flatMap(({ on, to }) => {
          const real = intersect(on, ALL)
          return real.length > 0 ? [{ on: real, to }] : []
        })
    )
  )
}

class Parser {
  private at = 0
  private depth = 0
  private readonly source: string[]

  constructor(pattern: string) {
    this.source = [...pattern]
  }

  parse(): Node {
    return this.alternatives()
  }

  private alternatives(): Node {
    if (++this.depth > MAX_NESTING) throw new PatternError(`nested deeper than ${MAX_NESTING}`)
    const items = [this.sequence()]
    while (this.take('|')) items.push(this.sequence())
    this.depth--
    return alt(...items)
  }

  private sequence(): Node {
    const items: Node[] = []
    while (this.at < this.source.length && this.peek() !== '|' && this.peek() !== ')') {
      items.push(this.quantified())
    }
    return seq(...items)
  }

  private quantified(): Node {
    const item = this.atom()
    const counts = this.quantifier()
    if (!counts) return item
    this.take('?') // lazy or greedy: the same texts
    return repeat(item, ...counts)
  }

  private quantifier(): [number, number | null] | null {
    if (this.take('*')) return [0, null]
    if (this.take('+')) return [1, null]
    if (this.take('?')) return [0, 1]
    if (!this.take('{')) return null
    const min = this.number()
    const max = this.take(',') ? (this.peek() === '}' ? null : this.number()) : min
    this.take('}')
    if (min > MAX_REPEAT || (max ?? 0) > MAX_REPEAT)
      throw new PatternError(`repeats more than ${MAX_REPEAT} times`)
    return [min, max]
  }

  private atom(): Node {
    const char = this.next()
    if (char === '^') return chars([[BEGIN, BEGIN]])
    if (char === '$') return chars([[END, END]])
    if (char === '.') return chars(DOT)
    if (char === '[') return chars(this.charClass())
    if (char === '(') return this.group()
    if (char === '\\') return chars(this.escape(false))
    return chars(charsOf(char))
  }

  private group(): Node {
    if (this.take('?')) {
      if (this.take('<')) {
        if (this.peek() === '=' || this.peek() === '!') throw new PatternError('look-behind is not supported')
        while (this.next() !== '>');
      } else if (!this.take(':')) throw new PatternError('look-ahead and flags in a group are not supported')
    }
    const inner = this.alternatives()
    this.take(')')
    return inner
  }

  private charClass(): CharSet {
    const negated = this.take('^')
    let set: CharSet = []
    while (!this.take(']')) {
      const low = this.classAtom()
      if (this.peek() === '-' && this.source[this.at + 1] !== ']') {
        this.at++
        const high = this.classAtom()
        set = union(set, [[low[0]?.[0] ?? 0, high[0]?.[0] ?? 0]])
      } else set = union(set, low)
    }
    return negated ? complement(set) : intersect(set, ALL)
  }

  private classAtom(): CharSet {
    const char = this.next()
    return char === '\\' ? this.escape(true) : charsOf(char)
  }

  private escape(inClass: boolean): CharSet {
    const char = this.next()
    switch (char) {
      case 'd':
        return DIGIT
      case 'D':
        return complement(DIGIT)
      case 'w':
        return WORD
      case 'W':
        return complement(WORD)
      case 's':
        return SPACE
      case 'S':
        return complement(SPACE)
      case 'n':
        return charsOf('\n')
      case 'r':
        return charsOf('\r')
      case 't':
        return charsOf('\t')
      case 'v':
        return charsOf('\v')
      case 'f':
        return charsOf('\f')
      case '0':
        return charsOf('\0')
      case 'c':
        return charSet([[this.next().codePointAt(0)! & 31, this.source[this.at - 1]!.codePointAt(0)! & 31]])
      case 'x':
        return this.code(Number.parseInt(this.next() + this.next(), 16))
      case 'u':
        return this.code(this.unicode())
      case 'b':
        if (inClass) return charsOf('\b')
        throw new PatternError('a word boundary (\\b) is not supported')
      case 'B':
        throw new PatternError('a word boundary (\\B) is not supported')
      case 'p':
      case 'P':
        throw new PatternError('Unicode properties (\\p) are not supported')
      case 'k':
        throw new PatternError('back-references are not supported')
    }
    if (/[1-9]/.test(char)) throw new PatternError('back-references are not supported')
    return charsOf(char)
  }

  private unicode(): number {
    if (this.take('{')) {
      let digits = ''
      for (let char = this.next(); char !== '}'; char = this.next()) digits += char
      return Number.parseInt(digits, 16)
    }
    const hex = () => Number.parseInt(this.next() + this.next() + this.next() + this.next(), 16)
    const high = hex()
    if (high < 0xd800 || high > 0xdbff || this.peek() !== '\\' || this.source[this.at + 1] !== 'u')
      return high
    this.at += 2
    return ((high - 0xd800) << 10) + (hex() - 0xdc00) + 0x10000
  }

  private code(value: number): CharSet {
    if (value >= 0xd800 && value <= 0xdfff) throw new PatternError('half a surrogate pair is not a character')
    return [[value, value]]
  }

  private number(): number {
    let digits = ''
    while (/[0-9]/.test(this.peek() ?? '')) digits += this.next()
    return Number(digits)
  }

  private peek(): string | undefined {
    return this.source[this.at]
  }

  private next(): string {
    return this.source[this.at++] ?? ''
  }

  private take(char: string): boolean {
    if (this.peek() !== char) return false
    this.at++
    return true
  }
}
