/** Content or reasoning on its way out: blanks at its edges stay behind. */
import type { AnswerEvent } from './events.js'

export class TextOutput {
  private blanks = ''

  constructor(
    private readonly type: 'content' | 'reasoning',
    private readonly out: AnswerEvent[],
    /** Drop blanks before the first text. */
    private trimStart: boolean
  ) {}

  write(text: string): void {
    let fresh = this.blanks + text
    if (this.trimStart) fresh = fresh.trimStart()
    const kept = fresh.trimEnd()
    this.blanks = fresh.slice(kept.length)
    if (kept === '') return
    this.trimStart = false
    this.out.push({ type: this.type, text: kept })
  }

  /** A marker follows: blanks before it belong to the markup. */
  drop(trimNext = true): void {
    this.blanks = ''
    this.trimStart = trimNext
  }

  /** The answer is over: blanks at its end are the model's. */
  flush(): void {
    if (this.blanks !== '' && !this.trimStart) this.out.push({ type: this.type, text: this.blanks })
    this.blanks = ''
  }
}
