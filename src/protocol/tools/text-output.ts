/** Content or reasoning on its way out: blanks at its edges stay behind. */
import type { AnswerEvent } from './events.js'

export class TextOutput {
  private blanks = ''
  /** A marker has been among the text. */
  private marked = false

  constructor(
    private readonly type: 'content' | 'reasoning',
    private readonly out: AnswerEvent[],
    /** Drop blanks before the first text. */
    private trimStart: boolean
  ) {}

  write(text: string): void {
    const all = this.blanks + text
    const fresh = this.trimStart && all.trim() !== '' ? all.trimStart() : all
    const kept = fresh.trimEnd()
    this.blanks = fresh.slice(kept.length)
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

  /** The answer is over: blanks at its end are the model's, and so are blanks that are all there is. */
  flush(): void {
    if (this.blanks !== '' && !(this.trimStart && this.marked))
      this.out.push({ type: this.type, text: this.blanks })
    this.blanks = ''
  }
}
