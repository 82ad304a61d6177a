/**
 * GBNF, llama.cpp's grammar language (its `grammars/README.md`), read into a grammar. Bounded in size and nesting; token
 * references (`<[42]>`, `<think>`) are not supported.
 */
import { ALL, type CharSet, charSet, complement } from './charset.js'
import { GrammarError, MAX_REPEAT } from './check.js'
import { alt, chars, type Grammar, type Node, ref, repeat, seq, text } from './grammar.js'

export const MAX_GRAMMAR_LENGTH = 200_000
const MAX_NESTING = 100
const NAME = /[a-zA-Z0-9_-]/

/** @throws GrammarError with the line of the mistake. */
export function parseGbnf(source: string): Grammar {
  if (source.length > MAX_GRAMMAR_LENGTH)
    throw new GrammarError(`longer than ${MAX_GRAMMAR_LENGTH} characters`)
  return new Parser(source).parse()
}

class Parser {
  private at = 0
  private depth = 0
  private readonly source: string[]

  constructor(source: string) {
    this.source = [...source]
  }

  parse(): Grammar {
    const rules = new Map<string, Node>()
    for (this.space(true); this.at < this.source.length; this.space(true)) {
      const name = this.name()
      this.space(false)
      for (const char of '::=') if (!this.take(char)) this.fail('expected ::= after the name of a rule')
      this.space(true)
      if (rules.has(name)) this.fail(`rule ${name} is defined twice`)
      rules.set(name, this.alternatives())
      if (this.at < this.source.length && !this.newline()) this.fail('expected the end of the line')
    }
    if (!rules.has('root')) throw new GrammarError('there is no rule named root')
    return { root: 'root', rules }
  }

  private alternatives(): Node {
    if (++this.depth > MAX_NESTING) this.fail(`nested deeper than ${MAX_NESTING}`)
    const items = [this.sequence()]
    while (this.take('|')) {
      this.space(true)
      items.push(this.sequence())
    }
    this.depth--
    return alt(...items)
  }

  private sequence(): Node {
    const items: Node[] = []
    for (;;) {
      const item = this.element()
      if (!item) return seq(...items)
      this.space(this.depth > 1)
      let repeated = item
      for (let counts = this.quantifier(); counts; counts = this.quantifier()) {
        repeated = repeat(repeated, ...counts)
        this.space(this.depth > 1)
      }
      items.push(repeated)
    }
  }

  private element(): Node | null {
    const char = this.peek()
    if (char === '"') return this.literal()
    if (char === '[') return chars(this.charClass())
    if (char === '.') {
      this.at++
      return chars(ALL)
    }
    if (char === '(') {
      this.at++
      this.space(true)
      const inner = this.alternatives()
      this.space(true)
      if (!this.take(')')) this.fail('expected )')
      return inner
    }
    if (char === '<' || char === '!') this.fail('token references are not supported')
    if (char === undefined || !NAME.test(char)) return null
    return ref(this.name())
  }

  private quantifier(): [number, number | null] | null {
    if (this.take('*')) return [0, null]
    if (this.take('+')) return [1, null]
    if (this.take('?')) return [0, 1]
    if (!this.take('{')) return null
    this.space(false)
    const min = this.peek() === ',' ? 0 : this.number()
    this.space(false)
    let max: number | null = min
    if (this.take(',')) {
      this.space(false)
      max = this.peek() === '}' ? null : this.number()
      this.space(false)
    }
    if (!this.take('}')) this.fail('expected }')
    if (min > MAX_REPEAT || (max ?? 0) > MAX_REPEAT) this.fail(`repeats more than ${MAX_REPEAT} times`)
    if (max !== null && max < min) this.fail('a repetition whose most is below its least')
    return [min, max]
  }

  private literal(): Node {
    this.at++
    let value = ''
    while (!this.take('"')) value += String.fromCodePoint(this.character('"'))
    return text(value)
  }

  private charClass(): CharSet {
    this.at++
    const negated = this.take('^')
    const ranges: Array<[number, number]> = []
    while (!this.take(']')) {
      const low = this.character(']')
      let high = low
      if (this.peek() === '-' && this.source[this.at + 1] !== ']') {
        this.at++
        high = this.character(']')
      }
      if (high < low) this.fail('a range whose end is before its beginning')
      ranges.push([low, high])
    }
    return negated ? complement(charSet(ranges)) : charSet(ranges)
  }

  private character(end: string): number {
    const char = this.source[this.at++]
    if (char === undefined || char === '\n' || char === '\r') this.fail(`expected ${end}`)
    if (char !== '\\') return this.checked(char.codePointAt(0)!)
    const escaped = this.source[this.at++]
    switch (escaped) {
      case 'n':
        return 0x0a
      case 'r':
        return 0x0d
      case 't':
        return 0x09
      case 'x':
        return this.hex(2)
      case 'u':
        return this.hex(4)
      case 'U':
        return this.hex(8)
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
      case '/':
        return escaped.codePointAt(0)!
      default:
        return this.fail(`unknown escape \\${escaped ?? ''}`)
    }
  }

  private hex(digits: number): number {
    const value = this.source.slice(this.at, this.at + digits).join('')
    if (!new RegExp(`^[0-9a-fA-F]{${digits}}$`).test(value))
      this.fail(`expected ${digits} hexadecimal digits`)
    this.at += digits
    return this.checked(Number.parseInt(value, 16))
  }

  private checked(code: number): number {
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) this.fail('not a Unicode character')
    return code
  }

  private number(): number {
    let digits = ''
    while (/[0-9]/.test(this.peek() ?? '')) digits += this.source[this.at++]
    if (digits === '' || digits.length > 6) this.fail('expected a number of at most 6 digits')
    return Number(digits)
  }

  private name(): string {
    let name = ''
    while (NAME.test(this.peek() ?? '')) name += this.source[this.at++]
    if (name === '') this.fail('expected the name of a rule')
    return name
  }

  /** Blanks and comments; line ends too where a rule may go on. */
  private space(newlines: boolean): void {
    for (;;) {
      const char = this.peek()
      if (char === '#') while (this.at < this.source.length && !/[\r\n]/.test(this.peek()!)) this.at++
      else if (char === ' ' || char === '\t' || (newlines && (char === '\n' || char === '\r'))) this.at++
      else return
    }
  }

  private newline(): boolean {
    return this.peek() === '\n' || this.peek() === '\r'
  }

  private peek(): string | undefined {
    return this.source[this.at]
  }

  private take(char: string): boolean {
    if (this.peek() !== char) return false
    this.at++
    return true
  }

  private fail(message: string): never {
    const line = this.source.slice(0, this.at).filter(char => char === '\n').length + 1
    throw new GrammarError(`line ${line}: ${message}`)
  }
}
