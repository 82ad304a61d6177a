/** The stream parser for every syntax but harmony: thinking tags, then text and sections of calls. */
import type { Thinking } from '../../engine/constraint/thinking.js'
import { TOOL_SYNTAXES, type ToolFormat, type ToolSyntax } from '../../engine/constraint/tool-syntax.js'
import { CallEvents } from './call-events.js'
import type { AnswerEvent, AnswerParser } from './events.js'
import { HarmonyParser } from './harmony.js'
import { JsonSection } from './json-section.js'
import { findMarker, heldBack } from './markers.js'
import { NamedSection } from './named-section.js'
import type { Section } from './section.js'
import { BLANKS_AT_BEGIN, TextOutput } from './text-output.js'
import { XmlSection } from './xml-section.js'
import type { TypedTool } from './xml-value.js'

export interface AnswerOptions {
  /** null: the request has no tools, calls are not looked for. */
  format: ToolFormat | null
  thinking: Thinking | null
  /** Those that may be called: some syntaxes do not tell a text from a number. Left out: told by what is written. */
  tools?: readonly TypedTool[]
}

/** A parser for one answer (one choice). */
export function createAnswerParser({ format, thinking, tools = [] }: AnswerOptions): AnswerParser {
  if (format === 'harmony' || thinking?.kind === 'channels') return new HarmonyParser()
  return new TagParser(format === null ? null : TOOL_SYNTAXES[format], thinking, tools)
}

class TagParser implements AnswerParser {
  private readonly out: AnswerEvent[] = []
  private readonly calls: CallEvents
  private readonly content: TextOutput
  private readonly reasoning: TextOutput
  private readonly triggers: readonly string[]
  private readonly tags: { open: string; close: string } | null
  private mode: 'begin' | 'thinking' | 'text' | 'section'
  private pending = ''
  private section: Section | null = null

  constructor(
    private readonly syntax: ToolSyntax | null,
    thinking: Thinking | null,
    private readonly tools: readonly TypedTool[]
  ) {
    this.calls = new CallEvents(this.out, syntax?.idLength ?? null)
    this.content = new TextOutput('content', this.out, thinking !== null, syntax === null)
    this.reasoning = new TextOutput('reasoning', this.out, true)
    this.triggers = syntax?.triggers ?? []
    this.tags = thinking?.kind === 'tags' ? thinking : null
    this.mode = thinking?.kind === 'tags' && thinking.opened ? 'thinking' : 'begin'
  }

  push(text: string): AnswerEvent[] {
    this.pending += text
    while (this.advance(false));
    return this.out.splice(0)
  }

  end(cut = false): AnswerEvent[] {
    while (this.advance(true));
    if (this.section) {
      const shown = this.section.end(cut)
      this.leaveSection(shown === '' ? '' : shown + this.pending)
    }
    this.calls.breakOff(cut)
    // Nothing but blanks, as far as it was cut off, is not an empty answer.
    const tellBlanks = cut && this.calls.count === 0
    if (this.mode === 'thinking') this.reasoning.flush(tellBlanks)
    else this.content.flush(tellBlanks)
    return this.out.splice(0)
  }

  /** One step; false: more text is needed. */
  private advance(last: boolean): boolean {
    if (this.pending === '') return false
    switch (this.mode) {
      case 'begin':
        return this.begin(last)
      case 'thinking':
        return this.think(last)
      case 'section':
        return this.inSection()
      default:
        return this.text(last)
    }
  }

  /** Something else than text may still come first. */
  private get mayBegin(): boolean {
    return this.tags !== null || this.syntax !== null
  }

  /** Before any text: thinking may begin here, or a call without a trigger. */
  private begin(last: boolean): boolean {
    const text = this.pending.trimStart()
    const open = this.tags?.open
    if (!this.mayBegin || this.pending.length - text.length > BLANKS_AT_BEGIN) {
      this.mode = 'text'
      return true
    }
    if (open !== undefined && text.startsWith(open)) {
      this.pending = text.slice(open.length)
      this.mode = 'thinking'
      return true
    }
    if (!last && (text === '' || open?.startsWith(text))) return false
    // Llama 3 writes its calls without a marker.
    if (this.syntax?.name === 'llama3' && text.startsWith('{')) {
      this.pending = text
      this.enterSection('')
      return true
    }
    this.mode = 'text'
    return true
  }

  private think(last: boolean): boolean {
    const close = this.tags!.close
    const at = this.pending.indexOf(close)
    if (at >= 0) {
      this.reasoning.write(this.pending.slice(0, at))
      this.reasoning.drop()
      this.content.drop()
      this.pending = this.pending.slice(at + close.length)
      this.mode = 'begin'
      return true
    }
    const keep = last ? 0 : heldBack(this.pending, [close])
    this.reasoning.write(this.pending.slice(0, this.pending.length - keep))
    this.pending = this.pending.slice(this.pending.length - keep)
    return false
  }

  private text(last: boolean): boolean {
    const found = findMarker(this.pending, this.triggers)
    if (found) {
      this.content.write(this.pending.slice(0, found.at))
      this.pending = this.pending.slice(found.at + found.marker.length)
      this.enterSection(found.marker)
      return true
    }
    const keep = last ? 0 : heldBack(this.pending, this.triggers)
    this.content.write(this.pending.slice(0, this.pending.length - keep))
    this.pending = this.pending.slice(this.pending.length - keep)
    return false
  }

  private enterSection(marker: string): void {
    const syntax = this.syntax!
    this.mode = 'section'
    this.section = this.newSection(syntax, marker)
  }

  private newSection(syntax: ToolSyntax, marker: string): Section {
    switch (syntax.style) {
      case 'json':
        return new JsonSection(syntax, marker, this.calls)
      case 'named':
        return new NamedSection(syntax, marker, this.calls)
      default:
        return new XmlSection(syntax, marker, this.calls, this.tools)
    }
  }

  private inSection(): boolean {
    const section = this.section!
    this.pending = section.read(this.pending)
    if (!section.isDone) return false
    this.leaveSection(section.rest())
    return true
  }

  /** @param shown text of a section that was none. */
  private leaveSection(shown: string): void {
    this.section = null
    this.mode = 'text'
    if (shown !== '') this.content.write(shown)
    else this.content.drop(this.calls.count > 0)
  }
}
