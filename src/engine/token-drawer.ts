import { type Choice, createSampler } from './active-request.js'
import type { AnswerWriter } from './answer-writer.js'
import type { Backend, Sampler } from './backend.js'
import type { Matcher } from './constraint/matcher.js'
import { endOfTextTokens } from './drawable.js'
import { tokenLogprob } from './logprobs.js'

/** A constrained stream's mask is normally there before its logits; longer than this its request fails, milliseconds. */
const MASK_TIMEOUT = 1000

/** Draws each stream's next token from the step's logits, within its constraint if it has one. */
export class TokenDrawer {
  private endOfText: number[] | null = null

  constructor(
    private readonly backend: Backend,
    private readonly writer: AnswerWriter,
    private readonly now: () => number
  ) {}

  /**
   * @param row output row of the last decode.
   * @throws ConstraintFailedError when the constraint cannot go on; the request must end.
   */
  async draw(choice: Choice, row: number): Promise<void> {
    const { params, constraint } = choice.request
    if (params.maxTokens === 0) {
      this.writer.add({ choice, token: -1, logprob: undefined, finish: 'length' })
      return
    }
    const sampler = this.samplerOf(choice)
    if (constraint && !choice.matcher) choice.matcher = constraint.matcher()
    const unmasked = choice.matcher && params.logprobs !== null ? this.backend.logits(row).slice() : null
    if (choice.matcher) await this.mask(choice.matcher, row)
    const token = sampler.sample(row)
    choice.matcher?.accept(token)
    this.take(choice, token, unmasked ?? row)
  }

  /** The same at once, for a choice that has no constraint. */
  drawFreely(choice: Choice, row: number): void {
    this.take(choice, this.samplerOf(choice).sample(row), row)
  }

  /** Tokens that end an answer. */
  endOfTextTokens(): number[] {
    this.endOfText ??= endOfTextTokens(this.backend)
    return this.endOfText
  }

  private samplerOf(choice: Choice): Sampler {
    const { ignoreEndOfText } = choice.request.params
    choice.sampler ??= createSampler(this.backend, choice, ignoreEndOfText ? this.endOfTextTokens() : [])
    return choice.sampler
  }

  private async mask(matcher: Matcher, row: number): Promise<void> {
    if (matcher.mask(this.backend.logits(row))) return
    await matcher.whenReady(MASK_TIMEOUT)
    matcher.mask(this.backend.logits(row))
  }

  private take(choice: Choice, token: number, logits: Float32Array | number): void {
    const { stream } = choice
    const { params } = choice.request
    stream.firstTokenAt ??= this.now()
    if (!params.ignoreEndOfText && this.backend.isEndOfGeneration(token)) {
      this.writer.add({ choice, token: -1, logprob: undefined, finish: 'stop' })
      return
    }
    let logprob: ReturnType<typeof tokenLogprob> | undefined
    if (params.logprobs !== null) {
      const values = typeof logits === 'number' ? this.backend.logits(logits) : logits
      logprob = tokenLogprob(values, token, params.logprobs, id => this.backend.piece(id, true))
    }
    stream.tokens.push(token)
    const atLimit =
      stream.tokensLeft <= 0 || stream.tokens.length >= this.backend.capabilities.cellsPerSequence
    this.writer.add({ choice, token, logprob, finish: atLimit ? 'length' : null })
  }
}
