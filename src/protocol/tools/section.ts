/** A run of tool calls behind a trigger. */
export interface Section {
  /** The section is over, or turned out to be none. */
  readonly isDone: boolean
  /** Takes what it can of the text; returns what it leaves (held back, or behind its end). */
  read(text: string): string
  /** When done: text that was taken and is no call after all, to be shown. */
  rest(): string
  /**
   * The answer ends within the section.
   * @param cut the model did not end it
   * @returns text to be shown, without what `read` has left
   */
  end(cut: boolean): string
}
