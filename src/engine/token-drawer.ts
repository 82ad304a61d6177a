import { type Choice, createSampler } from './active-request.js'
import type { AnswerWriter } from './answer-writer.js'
import type { Backend, Sampler } from './backend.js'
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
    if (constraint && !choice.matcher) choice.matcher = constraint.matcher()
    const { matcher } = choice
    if (!matcher) return this.drawAtOnce(choice, row)
    const unmasked = this.unmasked(choice, row)
    if (!matcher.mask(this.backend.logits(row))) {
      await matcher.whenReady(MASK_TIMEOUT)
      matcher.mask(this.backend.logits(row))
    }
    this.drawMasked(choice, row, unmasked)
  }

  /** Whether `drawAtOnce` can draw this choice's next token. */
  isReady({ request, matcher }: Choice): boolean {
    return request.constraint === null || matcher?.isReady === true
  }

  /**
   * The same without waiting for a mask.
   * @throws ConstraintFailedError
   */
  drawAtOnce(choice: Choice, row: number): void {
    const unmasked = this.unmasked(choice, row)
    choice.matcher?.mask(this.backend.logits(row))
    this.drawMasked(choice, row, unmasked)
  }

  private drawMasked(choice: Choice, row: number, unmasked: Float32Array | null): void {
    const token = this.samplerOf(choice).sample(row)
    choice.matcher?.accept(token)
    this.take(choice, token, unmasked ?? row)
  }

  /** What a mask would take from the logits that are told; null: they are not told, or there is no mask. */
  private unmasked({ matcher, request }: Choice, row: number): Float32Array | null {
    return matcher && request.params.logprobs !== null ? this.backend.logits(row).slice() : null
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
