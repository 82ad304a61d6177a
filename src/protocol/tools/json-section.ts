/** Calls as JSON objects: Hermes, Llama 3, Mistral's array. */
import type { JsonSyntax } from '../../engine/constraint/tool-syntax.js'
import type { CallEvents } from './call-events.js'
import { JsonCallReader } from './json-call.js'
import type { Section } from './section.js'

export class JsonSection implements Section {
  isDone = false
  private call: JsonCallReader | null = null
  private found = 0
  private shown = ''
  /** Taken since the trigger, while no call has been found. */
  private taken = ''

  constructor(
    private readonly syntax: JsonSyntax,
    private readonly marker: string,
    private readonly calls: CallEvents
  ) {}

  read(text: string): string {
    let at = 0
    while (at < text.length && !this.isDone) {
      if (this.call) {
        at += this.readCall(text, at)
        continue
      }
      const used = this.between(text, at)
      if (used === 0) break
      if (used > 0) at += used
    }
    return text.slice(at)
  }

  rest(): string {
    return this.shown
  }

  end(): string {
    if (this.found === 0 && !this.call?.isCall) return this.marker + this.taken + (this.call?.raw ?? '')
    return this.shown
  }

  private readCall(text: string, at: number): number {
    const call = this.call!
    const { used, parts } = call.read(text, at)
    for (const part of parts) {
      if (part.type === 'name') this.calls.begin(part.name)
      else if (part.type === 'arguments') this.calls.arguments(part.text)
      else this.calls.end()
    }
    if (call.state === 'done') {
      this.found++
      this.call = null
    } else if (call.state === 'failed') this.fail(call)
    return used
  }

  /** Not a call. What has not been announced as one is text; the remainder of a broken one is dropped. */
  private fail(call: JsonCallReader): void {
    if (!call.isCall && this.found === 0) this.shown = this.marker + this.taken + call.raw
    else this.calls.breakOff(false)
    this.call = null
    this.isDone = true
  }

  /** Between calls. 0: more text is needed; negative: nothing taken, go on. */
  private between(text: string, at: number): number {
    const char = text[at]!
    const { close } = this.syntax
    if (char === '{') {
      this.call = new JsonCallReader()
      return -1
    }
    if (close !== '' && text.startsWith(close, at)) {
      this.isDone = true
      if (this.found === 0) this.shown = this.marker + this.taken + close
      return close.length
    }
    if (close !== '' && close.startsWith(text.slice(at))) return 0
    if (/[\s,;[]/.test(char)) {
      if (this.found === 0) this.taken += char
      return 1
    }
    if (char === ']' && this.syntax.array) {
      this.isDone = true
      return 1
    }
    this.isDone = true
    if (this.found === 0) this.shown = this.marker + this.taken
    return -1
  }
}
