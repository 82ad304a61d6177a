import { BackendError, type BesideDecoder, type DecodeBreaks, type NextToken } from '../engine/backend.js'
import type { Breaks } from './breaks.js'
import { decodeFailure } from './decode-failure.js'
import type { Lanes } from './lanes.js'
import type { Pointer } from './layout.js'
import type { Functions } from './library.js'

/** Decodes next tokens of sequences in lanes while the decode of another context has a break. */
export class Beside implements BesideDecoder {
  #paused = false
  /** Rows have been computed in this break: they are those of `logits` and `Sampler.sample`. */
  computed = false

  /** @param threads what the lanes' context computes with otherwise. */
  constructor(
    private readonly functions: Functions,
    private readonly lanes: Lanes,
    private readonly breaks: Breaks,
    private readonly threads: number
  ) {}

  /** See `Breaks.begin`. */
  begin(context: Pointer, plan: DecodeBreaks): void {
    this.breaks.begin(context, { after: plan.after, take: () => this.#take(plan) })
  }

  end(): void {
    this.breaks.end()
  }

  takes(sequence: number, position: number): boolean {
    return this.lanes.holds(sequence, position)
  }

  compute(rows: readonly NextToken[]): void {
    if (!this.#paused) throw new Error('no decode is having a break')
    this.computed = false
    const { struct } = this.lanes.next(rows)
    struct.n_tokens = rows.length
    const { context } = this.lanes
    // The other threads of the decode that has a break keep their cores busy with waiting for it.
    if (this.threads > 1) this.functions.llama_set_n_threads(context, 1, 1)
    const code = this.functions.llama_decode(context, struct)
    if (this.threads > 1) this.functions.llama_set_n_threads(context, this.threads, this.threads)
    if (code !== 0) throw new BackendError('decode_failed', decodeFailure(code, rows.length))
    this.lanes.computed()
    this.computed = true
  }

  free(): void {
    this.breaks.free()
  }

  #take(plan: DecodeBreaks): number {
    this.#paused = true
    try {
      return plan.take()
    } finally {
      this.#paused = false
      this.computed = false
    }
  }
}
