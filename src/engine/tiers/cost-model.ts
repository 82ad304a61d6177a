import { RobustLine } from './robust-line.js'
import type { Tier } from './store.js'

/** What was learnt; nulls until something was observed. */
export interface CostFigures {
  compute: {
    samples: number
    /** Milliseconds for one token at depth 0. */
    msPerToken: number | null
    /** What each thousand tokens before it add to that. */
    msPerTokenPerThousand: number | null
  }
  restore: Record<
    Tier,
    { samples: number; fixedMs: number | null; bytesPerSecond: number | null; refused: number; tried: number }
  >
}

/** A restore must promise to be this much cheaper: what it brings still has to be attached. */
const MARGIN = 0.9
/** Restores of a tier before one is refused: the first ones pay for what is used for the first time. */
const FEWEST = 8
/** After so many refusals in a row one restore is tried, or a wrong opinion would never change. */
const TRY_EVERY = 32

/**
 * Whether restoring a piece is cheaper than computing its tokens. Both costs are learnt from what the engine does:
 *
 *     compute(tokens, depth) = tokens x (a + b x mean depth)      attention looks at everything before a token
 *     restore(tier, bytes)   = c + d x bytes
 *
 * As long as one side is unknown the answer is yes: restoring is what teaches it, and usually right.
 */
export class CostModel {
  /** y: milliseconds per token; x: mean depth. */
  readonly #compute = new RobustLine()
  readonly #restore: Record<Tier, RobustLine> = { ram: new RobustLine(), disk: new RobustLine() }
  readonly #refusals: Record<Tier, { inRow: number; refused: number; tried: number }> = {
    ram: { inRow: 0, refused: 0, tried: 0 },
    disk: { inRow: 0, refused: 0, tried: 0 }
  }

  /** `tokens` prompt tokens at positions [depth, depth + tokens) took so long. Report whole chunks of a prompt alone. */
  observeCompute(tokens: number, depth: number, ms: number): void {
    if (tokens > 0) this.#compute.add(depth + tokens / 2, ms / tokens)
  }

  /** Bringing a blob from the tier into cells took so long, from asking to having. */
  observeRestore(tier: Tier, bytes: number, ms: number): void {
    if (bytes > 0) this.#restore[tier].add(bytes, ms)
  }

  /** Expected milliseconds; null when nothing is known. */
  computeMs(tokens: number, depth: number): number | null {
    const perToken = this.#compute.at(depth + tokens / 2)
    return perToken === null ? null : perToken * tokens
  }

  /** Expected milliseconds; null when nothing is known. */
  restoreMs(tier: Tier, bytes: number): number | null {
    return this.#restore[tier].at(bytes)
  }

  /**
   * @param tokens how many of the piece's tokens would be used.
   * @param depth position of the first of them.
   * @param bytes size of the blob, all of which must be restored.
   */
  worthRestoring(tokens: number, depth: number, tier: Tier, bytes: number): boolean {
    if (tokens <= 0) return false
    const restore = this.restoreMs(tier, bytes)
    const compute = this.computeMs(tokens, depth)
    if (restore === null || compute === null || this.#restore[tier].samples < FEWEST) return true
    const state = this.#refusals[tier]
    if (restore < compute * MARGIN) {
      state.inRow = 0
      return true
    }
    if (++state.inRow % TRY_EVERY === 0) {
      state.tried++
      return true
    }
    state.refused++
    return false
  }

  figures(): CostFigures {
    const compute = this.#compute.fit()
    return {
      compute: {
        samples: this.#compute.samples,
        msPerToken: compute?.intercept ?? null,
        msPerTokenPerThousand: compute && compute.slope * 1000
      },
      restore: { ram: this.#restoreFigures('ram'), disk: this.#restoreFigures('disk') }
    }
  }

  #restoreFigures(tier: Tier): CostFigures['restore'][Tier] {
    const fit = this.#restore[tier].fit()
    const { refused, tried } = this.#refusals[tier]
    return {
      samples: this.#restore[tier].samples,
      fixedMs: fit?.intercept ?? null,
      // All observed blobs were of one size: then it is the whole time that counts, as a fixed one.
      bytesPerSecond: fit && fit.slope > 0 ? 1000 / fit.slope : null,
      refused,
      tried
    }
  }
}
