/**
 * Reads `{"name": ..., "arguments": ...}` as it comes in. Arguments are passed on as they are written once the name is
 * known; either order of the members is understood, and arguments given as a JSON string are unpacked.
 */
import { JsonValueScanner } from './json-scanner.js'

export type CallPart = { type: 'name'; name: string } | { type: 'arguments'; text: string } | { type: 'end' }

const ARGUMENT_KEYS = new Set(['arguments', 'parameters'])
const NAME_KEYS = new Set(['name', 'function'])
const OTHER_KEYS = new Set(['type', 'id', 'thought', ...ARGUMENT_KEYS, ...NAME_KEYS])

type State = 'begin' | 'key' | 'colon' | 'value' | 'done' | 'failed'

export class JsonCallReader {
  state: State = 'begin'
  /** Everything read so far; what to show as text when it turns out not to be a call. */
  raw = ''
  private key = ''
  private value = ''
  private scanner = new JsonValueScanner()
  private name: string | null = null
  private early = ''
  /** The value is passed on as it comes. */
  private streaming = false
  /** The value is a string, or not the arguments: kept until it is whole. */
  private packed = false
  private hasArguments = false

  /** The name is known: it is a call. */
  get isCall(): boolean {
    return this.name !== null
  }

  /** @returns the parts found, and how many characters from `from` were used; fewer than all only when done or failed. */
  read(text: string, from: number): { used: number; parts: CallPart[] } {
    const parts: CallPart[] = []
    let at = from
    while (at < text.length && this.state !== 'done' && this.state !== 'failed')
      at += this.step(text, at, parts)
    this.raw += text.slice(from, at)
    return { used: at - from, parts }
  }

  private step(text: string, at: number, parts: CallPart[]): number {
    const char = text[at]!
    const blank = char === ' ' || char === '\n' || char === '\t' || char === '\r'
    switch (this.state) {
      case 'begin':
        if (char === '{') this.expectKey()
        else if (!blank) this.state = 'failed'
        return this.failedHere(1)
      case 'key':
        return this.readKey(text, at, blank, parts)
      case 'colon':
        if (char === ':') this.state = 'value'
        else if (!blank) this.state = 'failed'
        return this.failedHere(1)
      default:
        return this.readValue(text, at, parts)
    }
  }

  private failedHere(used: number): number {
    return this.state === 'failed' ? 0 : used
  }

  private expectKey(): void {
    this.state = 'key'
    this.scanner = new JsonValueScanner()
    this.value = ''
  }

  private readKey(text: string, at: number, blank: boolean, parts: CallPart[]): number {
    const char = text[at]!
    if (!this.scanner.hasBegun) {
      if (blank || char === ',') return 1
      if (char === '}') {
        this.finish(parts)
        return 1
      }
      if (char !== '"') {
        this.state = 'failed'
        return 0
      }
    }
    const used = this.scanner.scan(text, at)
    this.value += text.slice(at, at + used)
    if (this.scanner.isDone) {
      this.key = String(parse(this.value))
      if (!this.isCall && !OTHER_KEYS.has(this.key)) this.state = 'failed'
      else {
        this.state = 'colon'
        this.scanner = new JsonValueScanner()
        this.value = ''
      }
    }
    return used
  }

  private readValue(text: string, at: number, parts: CallPart[]): number {
    const used = this.scanner.scan(text, at)
    const piece = this.value === '' ? text.slice(at, at + used).trimStart() : text.slice(at, at + used)
    if (ARGUMENT_KEYS.has(this.key) && piece !== '' && (this.streaming || piece[0] !== '"') && !this.packed) {
      // What streams is not kept; that a value has begun is.
      this.value = ' '
      if (this.name !== null) parts.push({ type: 'arguments', text: piece })
      else this.early += piece
      this.streaming = true
      this.hasArguments = true
    } else {
      this.value += piece
      this.packed = this.value !== ''
    }
    if (this.scanner.isDone) {
      this.memberDone(parts)
      if (this.state === 'value') this.expectKey()
    }
    return used
  }

  private memberDone(parts: CallPart[]): void {
    const value = parse(this.value)
    if (NAME_KEYS.has(this.key) && this.name === null) {
      if (typeof value !== 'string' || value === '') {
        this.state = 'failed'
        return
      }
      this.name = value
      parts.push({ type: 'name', name: value })
      if (this.early !== '') parts.push({ type: 'arguments', text: this.early })
      this.early = ''
    } else if (ARGUMENT_KEYS.has(this.key) && !this.streaming && typeof value === 'string') {
      this.hasArguments = true
      if (this.name !== null) parts.push({ type: 'arguments', text: value })
      else this.early += value
    }
    this.streaming = false
    this.packed = false
  }

  private finish(parts: CallPart[]): void {
    if (this.name === null) {
      this.state = 'failed'
      return
    }
    if (!this.hasArguments) parts.push({ type: 'arguments', text: '{}' })
    parts.push({ type: 'end' })
    this.state = 'done'
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
