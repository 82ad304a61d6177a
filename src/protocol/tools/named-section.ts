/** Calls whose name stands between markers before the arguments: DeepSeek, Mistral's newer form, `<function=name>`. */
import type { NamedSyntax } from '../../engine/constraint/tool-syntax.js'
import type { CallEvents } from './call-events.js'
import { JsonValueScanner } from './json-scanner.js'
import { findMarker, heldBack } from './markers.js'
import type { Section } from './section.js'

const NAME = /^[a-zA-Z0-9_.:/-]*/
/** Between name and arguments no syntax has more than this. */
const MOST_BETWEEN = 200

export class NamedSection implements Section {
  isDone = false
  private state: 'open' | 'name' | 'between' | 'arguments' | 'after' = 'open'
  private name = ''
  private between = ''
  private scanner = new JsonValueScanner()
  private found = 0
  private taken = ''
  private shown = ''

  constructor(
    private readonly syntax: NamedSyntax,
    private readonly marker: string,
    private readonly calls: CallEvents
  ) {}

  read(text: string): string {
    let rest = text
    while (rest !== '' && !this.isDone) {
      const next = this.step(rest)
      if (next === null) break
      rest = next
    }
    return rest
  }

  rest(): string {
    return this.shown
  }

  end(): string {
    return this.found === 0 && this.state !== 'arguments'
      ? this.marker + this.taken + this.name + this.between
      : ''
  }

  /** What is left of the text; null: more is needed. */
  private step(text: string): string | null {
    switch (this.state) {
      case 'open':
        return this.open(text)
      case 'name':
        return this.readName(text)
      case 'between':
        return this.readBetween(text)
      case 'arguments':
        return this.readArguments(text)
      default:
        return this.after(text)
    }
  }

  private open(text: string): string | null {
    const { open } = this.syntax
    const trimmed = text.trimStart()
    if (trimmed.startsWith(open)) {
      this.taken += text.slice(0, text.length - trimmed.length) + open
      this.state = 'name'
      this.name = ''
      this.between = ''
      return trimmed.slice(open.length)
    }
    if (open.startsWith(trimmed)) return null
    return this.fail(text)
  }

  private readName(text: string): string {
    const run = NAME.exec(text)![0]
    this.name += run
    if (run.length < text.length) this.state = 'between'
    return text.slice(run.length)
  }

  private readBetween(text: string): string {
    const at = text.indexOf('{')
    this.between += at < 0 ? text : text.slice(0, at)
    if (this.name === '' || this.between.length > MOST_BETWEEN) return this.fail(at < 0 ? '' : text.slice(at))
    if (at < 0) return ''
    this.begin()
    this.scanner = new JsonValueScanner()
    this.state = 'arguments'
    return text.slice(at)
  }

  private begin(): void {
    const { numbered } = this.syntax
    const [, name, number] = (numbered !== undefined && /^(.+):(\d+)$/.exec(this.name)) || []
    if (name === undefined) this.calls.begin(this.name)
    else {
      const plain = name.startsWith(numbered as string) ? name.slice((numbered as string).length) : name
      this.calls.begin(plain, `${numbered}${plain}:${number}`)
    }
  }

  private readArguments(text: string): string {
    const used = this.scanner.scan(text, 0)
    this.calls.arguments(text.slice(0, used))
    if (this.scanner.isDone) {
      this.calls.end()
      this.found++
      this.state = 'after'
    }
    return text.slice(used)
  }

  /** Markers and blanks behind the arguments: another call, the end of the section, or text. */
  private after(text: string): string | null {
    const trimmed = text.trimStart()
    if (trimmed === '') return ''
    const { end, close, separator, open } = this.syntax
    const again = [separator?.trim() ?? '', open].filter(marker => marker !== '')
    const last = close === '' ? [] : [close]
    const skipped = end.trim() === '' ? [] : [end.trim()]
    const markers = [...again, ...last, ...skipped]
    const found = findMarker(trimmed, markers)
    if (found?.at === 0) {
      if (last.includes(found.marker)) this.isDone = true
      else if (again.includes(found.marker)) {
        this.state = 'open'
        // The opening marker itself stays for the state that expects it.
        if (found.marker === open) return trimmed
      }
      return trimmed.slice(found.marker.length)
    }
    if (heldBack(trimmed, markers) === trimmed.length) return null
    this.isDone = true
    return trimmed
  }

  private fail(left: string): string {
    this.isDone = true
    if (this.found === 0) this.shown = this.marker + this.taken + this.name + this.between
    return left
  }
}
