/** What a model's text turns out to be, piece by piece. */
export type AnswerEvent =
  | { type: 'content'; text: string }
  | { type: 'reasoning'; text: string }
  /** A call begins; `index` counts from 0 within the answer. Its `arguments` concatenate to one JSON value. */
  | { type: 'call'; index: number; id: string; name: string }
  | { type: 'arguments'; index: number; text: string }
  /** `complete`: the model wrote it to its end. */
  | { type: 'callEnd'; index: number; complete: boolean }

/** Reads an answer as it is generated. Marker texts never come out; what may become one is held back. */
export interface AnswerParser {
  push(text: string): AnswerEvent[]
  /**
   * The answer is over: what was held back, and the end of a call that was not closed.
   * @param cut the model did not end it itself: an open call then gets nothing that was not generated
   */
  end(cut?: boolean): AnswerEvent[]
}
