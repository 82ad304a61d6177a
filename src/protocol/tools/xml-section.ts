/**
 * Calls whose arguments are tags: Qwen3-Coder, GLM, MiniMax. Their arguments come out as one JSON object, texts
 * while they are written, other values when they are whole.
 */
import type { XmlSyntax } from '../../engine/constraint/tool-syntax.js'
import type { CallEvents } from './call-events.js'
import { findMarker, heldBack } from './markers.js'
import type { Section } from './section.js'
import { argumentTypes, escaped, isText, type TypedTool, toJson } from './xml-value.js'

const NAME = /^[a-zA-Z0-9_.:/-]+$/
/** Longer names and keys are none. */
const MOST_NAME = 200

type State = 'open' | 'name' | 'member' | 'key' | 'gap' | 'value' | 'after'

export class XmlSection implements Section {
  isDone = false
  private state: State = 'open'
  private found = 0
  /** Taken since the trigger, while no call has been found. */
  private taken = ''
  private shown = ''
  private name = ''
  private key = ''
  /** Which of the tags between key and value comes next. */
  private gap = 0
  private members = 0
  private types: ReadonlySet<string> | null = null
  private begun = false
  /** A value that is not passed on yet. */
  private written = ''

  constructor(
    private readonly syntax: XmlSyntax,
    private readonly marker: string,
    private readonly calls: CallEvents,
    private readonly tools: readonly TypedTool[]
  ) {
    if (marker === syntax.open || syntax.open === '') this.state = 'name'
  }

  read(text: string): string {
    let rest = text
    while (rest !== '' && !this.isDone) {
      const next = this.step(rest)
      if (next === null) break
      if (this.found === 0) this.taken += rest.slice(0, rest.length - next.length)
      rest = next
    }
    return rest
  }

  rest(): string {
    return this.shown
  }

  end(cut: boolean): string {
    if (this.found === 0) return this.marker + this.taken
    if (this.state === 'value') {
      if (cut && !isText(this.types)) this.writeKey(this.written.trimStart())
      if (!cut) this.endValue()
    }
    if (!cut && this.state !== 'after') this.endCall()
    return ''
  }

  /** What is left of the text; null: more is needed. */
  private step(text: string): string | null {
    switch (this.state) {
      case 'open':
        return this.expect(text, { [this.syntax.open]: 'name' })
      case 'name':
        return this.readName(text)
      case 'member':
        return this.expect(text, { [this.syntax.keyOpen]: 'key' })
      case 'key':
        return this.readKey(text)
      case 'gap':
        return this.readGap(text)
      case 'value':
        return this.readValue(text)
      default:
        return this.expect(text, this.syntax.separator === null ? {} : { [this.syntax.open]: 'name' })
    }
  }

  /** One of these tags behind blanks, or one that ends the call or the section. */
  private expect(text: string, next: Readonly<Record<string, State>>): string | null {
    const { end, close } = this.syntax
    const trimmed = text.trimStart()
    const ends = this.state === 'member' ? [end, close].filter(tag => tag !== '') : [close]
    const markers = [...Object.keys(next), ...ends]
    const marker = markers.find(each => trimmed.startsWith(each))
    if (marker === undefined) {
      if (markers.some(each => each.startsWith(trimmed))) return null
      return this.leave(text)
    }
    const state = next[marker]
    if (state !== undefined) this.state = state
    else {
      if (this.state === 'member') this.endCall()
      if (marker === close) this.isDone = true
      if (this.isDone && this.found === 0)
        this.shown = this.marker + this.taken + text.slice(0, text.length - trimmed.length) + marker
    }
    return trimmed.slice(marker.length)
  }

  private readName(text: string): string | null {
    const { nameEnd, keyOpen, close } = this.syntax
    const trimmed = text.trimStart()
    if (trimmed === '') return null
    const found =
      nameEnd === '' ? findMarker(trimmed, ['\n', keyOpen, close]) : findMarker(trimmed, [nameEnd])
    if (!found) return trimmed.length > MOST_NAME ? this.leave(text) : null
    const name = trimmed.slice(0, found.at).trim()
    if (!NAME.test(name) || name.length > MOST_NAME) return this.leave(text)
    this.name = name
    this.members = 0
    this.calls.begin(name)
    this.found++
    this.state = 'member'
    return trimmed.slice(found.at + (found.marker === nameEnd ? nameEnd.length : 0))
  }

  private readKey(text: string): string | null {
    const tag = this.syntax.keyEnd[0] as string
    const at = text.indexOf(tag)
    if (at < 0) return text.length > MOST_NAME ? this.leave(text) : null
    this.key = text.slice(0, at).trim()
    this.gap = 1
    this.state = 'gap'
    this.types = argumentTypes(this.tools, this.name, this.key)
    this.begun = false
    this.written = ''
    return text.slice(at + tag.length)
  }

  private readGap(text: string): string | null {
    const tag = this.syntax.keyEnd[this.gap]
    if (tag === undefined) {
      this.state = 'value'
      if (isText(this.types)) this.writeKey('"')
      return text
    }
    const trimmed = text.trimStart()
    if (trimmed.startsWith(tag)) {
      this.gap++
      return trimmed.slice(tag.length)
    }
    return tag.startsWith(trimmed) ? null : this.leave(text)
  }

  private readValue(text: string): string | null {
    const { valueEnd, lines } = this.syntax
    const at = text.indexOf(valueEnd)
    if (at >= 0) {
      this.value(text.slice(0, at - (lines && text[at - 1] === '\n' ? 1 : 0)))
      this.endValue()
      this.state = 'member'
      return text.slice(at + valueEnd.length)
    }
    const keep = heldBack(text, lines ? [`\n${valueEnd}`, valueEnd] : [valueEnd])
    if (keep === text.length) return null
    this.value(text.slice(0, text.length - keep))
    return text.slice(text.length - keep)
  }

  private value(text: string): void {
    if (text === '') return
    const own = this.syntax.lines && !this.begun && text[0] === '\n' ? text.slice(1) : text
    this.begun = true
    if (isText(this.types)) this.calls.arguments(escaped(own))
    else this.written += own
  }

  private endValue(): void {
    if (isText(this.types)) this.calls.arguments('"')
    else this.writeKey(toJson(this.written, this.types))
  }

  private writeKey(value: string): void {
    const before = this.members++ === 0 ? '{' : ', '
    this.calls.arguments(`${before}${JSON.stringify(this.key)}: ${value}`)
  }

  private endCall(): void {
    if (this.members > 0) this.calls.arguments('}')
    this.calls.end()
    this.state = 'after'
  }

  /** Not what the syntax has here. Without a call it has been text; a call that has begun ends. */
  private leave(text: string): string {
    this.isDone = true
    if (this.found === 0) this.shown = this.marker + this.taken
    else if (this.state !== 'after') this.endCall()
    return text
  }
}
