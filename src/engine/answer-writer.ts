import type { ActiveRequest, Choice } from './active-request.js'
import type { Backend } from './backend.js'
import type { FinishReason, TokenLogprob } from './messages.js'
import type { Outbox } from './outbox.js'
import type { AnswerPiece } from './text/answer.js'

/** Tokens of an answer that are told at its end; a message of 40 kB. */
const MOST_TOLD_TOKENS = 8192

/** A token that a step gave (-1: none, the answer just ends), waiting to become text. */
export interface Drawn {
  choice: Choice
  token: number
  logprob: TokenLogprob | undefined
  /** The answer ends with it. */
  finish: FinishReason | null
}

/**
 * Turns drawn tokens into text events. It runs while the backend computes the next step, so that detokenizing, stop
 * texts and messages cost the streams no time; a stop text found then makes the token under way superfluous.
 */
export class AnswerWriter {
  private drawn: Drawn[] = []
  /** A first or a last token is waiting, or one that may complete a stop text. */
  urgent = false

  constructor(
    private readonly backend: Backend,
    private readonly outbox: Outbox,
    /** Requests that still want their events. */
    private readonly isWanted: (request: ActiveRequest) => boolean,
    /** All choices of a request have finished; its `end` is to be told. */
    private readonly onEnd: (request: ActiveRequest) => void
  ) {}

  /** There are tokens to write. */
  get waits(): boolean {
    return this.drawn.length > 0
  }

  add(drawn: Drawn): void {
    if (drawn.finish !== null) drawn.choice.done = true
    const { stream, request } = drawn.choice
    // Every token after a stop text is one too many.
    if (drawn.finish !== null || stream.generated <= 1 || request.params.stop.length > 0) this.urgent = true
    this.drawn.push(drawn)
  }

  write(): void {
    const { drawn } = this
    this.drawn = []
    this.urgent = false
    for (const each of drawn) if (this.isWanted(each.choice.request)) this.writeOne(each)
  }

  private writeOne({ choice, token, logprob, finish }: Drawn): void {
    if (token !== -1) {
      const piece = choice.answer.push(this.backend.piece(token, choice.request.params.emitSpecial), logprob)
      this.emit(choice, piece)
      if (piece.stop !== null) {
        this.finish(choice, 'stop', piece.stop)
        return
      }
    }
    if (finish === null) return
    const rest = choice.answer.end()
    this.emit(choice, rest)
    this.finish(choice, rest.stop === null ? finish : 'stop', rest.stop)
  }

  private emit(choice: Choice, { text, tokens, logprobs }: AnswerPiece): void {
    if (text === '' && !logprobs) return
    this.outbox.add({ type: 'text', id: choice.request.id, choice: choice.index, text, tokens, logprobs })
  }

  private finish(choice: Choice, reason: FinishReason, stop: string | null): void {
    const { request } = choice
    choice.done = true
    choice.stream.finished = true
    const tokens = stop === null && request.params.tellTokens ? generatedTokens(choice) : null
    const told = tokens ? { tokens } : {}
    this.outbox.add({ type: 'finish', id: request.id, choice: choice.index, reason, stop, ...told })
    if (request.choices.every(each => each.stream.finished)) this.onEnd(request)
  }
}

/** null: too many for a message. */
function generatedTokens({ stream }: Choice): number[] | null {
  if (stream.generated > MOST_TOLD_TOKENS) return null
  return Array.from(stream.tokens.view(stream.promptLength))
}
