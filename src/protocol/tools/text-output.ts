/** Content or reasoning on its way out: blanks at its edges stay behind. */
import type { AnswerEvent } from './events.js'

/** Models set their markup off by a few blanks. Of more than these the first are text, and nobody waits for them. */
const BLANKS_BEFORE_MARKUP = 16
/** The same at the beginning of an answer, before thinking: a model that begins with line ends has begun. */
export const BLANKS_AT_BEGIN = 2

export class TextOutput {
  private blanks = ''
  /** A marker has been among the text. */
  private marked = false

  constructor(
    private readonly type: 'content' | 'reasoning',
    private readonly out: AnswerEvent[],
    /** Drop blanks before the first text. */
    private trimStart: boolean,
    /** No marker can follow text: then there is no reason to hold blanks back. */
    private readonly plain = false
  ) {}

  write(text: string): void {
    let all = this.blanks + text
    if (this.trimStart) {
      const rest = all.trimStart()
      const many = !this.marked && all.length - rest.length > BLANKS_AT_BEGIN
      if (rest === '' && !many) {
        this.blanks = all
        return
      }
      if (!many) all = rest
    }
    const kept = this.sure(all)
    this.blanks = all.slice(kept.length)
    if (kept === '') return
    this.trimStart = false
    this.out.push({ type: this.type, text: kept })
  }

  /** A marker follows: blanks before it belong to the markup. */
  drop(trimNext = true): void {
    this.marked = true
    this.blanks = ''
    this.trimStart = trimNext
  }

  /**
   * The answer is over: blanks at its end are the model's, and so are blanks that are all there is.
   * @param cut before the model had done: it may have spent all its tokens on blanks behind a marker.
   */
  flush(cut = false): void {
    if (this.blanks !== '' && (cut || !(this.trimStart && this.marked)))
      this.out.push({ type: this.type, text: this.blanks })
    this.blanks = ''
  }

  /** What is text whatever follows. */
  private sure(text: string): string {
    if (this.plain) return text
    const end = text.trimEnd().length
    return text.slice(0, Math.max(end, text.length - BLANKS_BEFORE_MARKUP))
  }
}
