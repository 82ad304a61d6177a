import type { Choice } from './active-request.js'
import type { Backend } from './backend.js'
import { tokenLogprob } from './logprobs.js'
import type { PromptLogprob } from './messages.js'
import type { Outbox } from './outbox.js'

/** An output row of the last decode, and the position of its token. */
export interface PromptRow {
  row: number
  position: number
}

/** Tells the log probabilities of a prompt's own tokens: the row of each token is about the next one. */
export class PromptReader {
  constructor(
    private readonly backend: Backend,
    private readonly outbox: Outbox
  ) {}

  /** @param rows of one chunk of this choice's prompt, ascending; those that `Stream.readsAt` wants. */
  tell({ stream, request }: Choice, rows: readonly PromptRow[]): void {
    const { tokens, promptLength } = stream
    const logprobs: PromptLogprob[] = []
    if (stream.read === 0) {
      logprobs.push(this.unknown(tokens.at(0)))
      stream.read = 1
    }
    for (const { row, position } of rows) {
      logprobs.push(
        tokenLogprob(
          this.backend.logits(row),
          tokens.at(position + 1),
          request.params.promptLogprobs ?? 0,
          token => this.backend.piece(token, true)
        )
      )
      stream.read = position + 2
    }
    if (logprobs.length === 0) return
    const last = stream.read === promptLength
    this.outbox.add({ type: 'prompt', id: request.id, prompt: 0, logprobs, last })
  }

  private unknown(token: number): PromptLogprob {
    return { token, bytes: Array.from(this.backend.piece(token, true)), logprob: null, top: [] }
  }
}
