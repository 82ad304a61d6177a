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
  /** null: no message has begun. Text without any header is content. */
  private body: 'content' | 'reasoning' | 'call' | null = null

  push(text: string): AnswerEvent[] {
    this.pending += text
    this.read(false)
    return this.out.splice(0)
  }

  end(): AnswerEvent[] {
    this.read(true)
    this.calls.end()
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
        this.header = (this.header ?? '') + found.marker
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
    // Between messages (` to=...` in front of the first channel) there is only markup.
    else if (this.body === 'content' || !/^\s*(assistant\b|to=)/.test(text)) this.content.write(text)
    else this.header = text
  }

  private open(): void {
    const header = this.header ?? ''
    this.header = null
    const recipient = RECIPIENT.exec(header)?.[1]
    const channel = CHANNEL.exec(header)?.[1]
    if (recipient !== undefined) {
      this.body = 'call'
      this.calls.begin(recipient)
    } else this.body = channel === 'analysis' ? 'reasoning' : 'content'
  }

  private close(): void {
    if (this.body === 'call') this.calls.end()
    if (this.body === 'reasoning') this.reasoning.drop(false)
    if (this.body === 'content') this.content.drop(false)
    this.body = null
  }
}
