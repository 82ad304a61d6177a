/**
 * gpt-oss's harmony format: messages with a header (channel, recipient, content type) and a body. The prompt ends with
 * `<|start|>assistant`, so that an answer begins within a header.
 */
import { CallEvents } from './call-events.js'
import type { AnswerEvent, AnswerParser } from './events.js'
import { findMarker, heldBack } from './markers.js'
import { TextOutput } from './text-output.js'

const MESSAGE = '<|message|>'
const HEADER = ['<|channel|>', '<|start|>']
const ENDS = ['<|end|>', '<|return|>', '<|call|>']
const MARKERS = [...HEADER, ...ENDS, MESSAGE]
const RECIPIENT = /to=(?:functions\.)?([a-zA-Z0-9_.-]+)/
const CHANNEL = /<\|channel\|>\s*([a-z]+)/

export class HarmonyParser implements AnswerParser {
  private readonly out: AnswerEvent[] = []
  private readonly calls = new CallEvents(this.out, null)
  private readonly content = new TextOutput('content', this.out, true)
  private readonly reasoning = new TextOutput('reasoning', this.out, true)
  private pending = ''
  private header: string | null = null
  /** Text between messages: the rest of a header that began in the prompt, or an answer without any markup. */
  private between = ''
  /** null: no message has begun. */
  private body: 'content' | 'reasoning' | 'call' | null = null

  push(text: string): AnswerEvent[] {
    this.pending += text
    this.read(false)
    return this.out.splice(0)
  }

  end(cut = false): AnswerEvent[] {
    this.read(true)
    if (this.body === null) this.content.write(this.between)
    this.calls.breakOff(cut)
    this.content.flush()
    return this.out.splice(0)
  }

  private read(last: boolean): void {
    for (;;) {
      const found = findMarker(this.pending, MARKERS)
      if (!found) break
      this.write(this.pending.slice(0, found.at))
      this.pending = this.pending.slice(found.at + found.marker.length)
      if (HEADER.includes(found.marker)) {
        this.close()
        this.header = (this.header ?? this.between) + found.marker
        this.between = ''
      } else if (found.marker === MESSAGE) this.open()
      else {
        this.close()
        this.header = null
      }
    }
    const keep = last ? 0 : heldBack(this.pending, MARKERS)
    this.write(this.pending.slice(0, this.pending.length - keep))
    this.pending = this.pending.slice(this.pending.length - keep)
  }

  private write(text: string): void {
    if (text === '') return
    if (this.header !== null) this.header += text
    else if (this.body === 'call') this.calls.arguments(text)
    else if (this.body === 'reasoning') this.reasoning.write(text)
    else if (this.body === 'content') this.content.write(text)
    else {
      this.between += text
      if (mayBeHeader(this.between)) return
      this.body = 'content'
      this.content.write(this.between)
      this.between = ''
    }
  }

  private open(): void {
    const header = this.header ?? this.between
    this.header = null
    this.between = ''
    const recipient = RECIPIENT.exec(header)?.[1]
    const channel = CHANNEL.exec(header)?.[1]
    if (recipient !== undefined) {
      this.body = 'call'
      this.calls.begin(recipient)
    } else this.body = channel === 'analysis' ? 'reasoning' : 'content'
  }

  private close(): void {
    if (this.body === null && this.header === null && this.between.trim() === '') this.between = ''
    if (this.body === 'call') this.calls.end()
    if (this.body === 'reasoning') this.reasoning.drop(false)
    if (this.body === 'content') this.content.drop(false)
    this.body = null
  }
}

/** The beginning of ` to=functions.name` or `assistant to=...`. */
function mayBeHeader(text: string): boolean {
  const trimmed = text.trimStart()
  return 'assistant'.startsWith(trimmed) || /^(assistant)?\s*(t|to|to=[a-zA-Z0-9_.:-]*)?\s*$/.test(trimmed)
}
