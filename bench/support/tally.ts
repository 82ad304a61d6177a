/** What became of many requests under load, and what was wrong with those that went wrong. */
import { firstTokenMs, flaw, type StreamResult } from './client.js'
import { gaps, percentile, sum } from './statistics.js'

export interface TallySummary {
  /** Answers that came whole. */
  whole: number
  /** 429 with retry-after. */
  refused: number
  /** The client left on purpose. */
  left: number
  /** Everything else: 5xx, cut or short streams, a 429 without retry-after. */
  broken: number
  /** What was wrong with the first ten of them. */
  flaws: string[]
  /** Tokens of whole answers that arrived in the window, per second. */
  goodput: number
  /** Quantiles in milliseconds: to the first token, between tokens, until a 429 was there. */
  firstToken: Quantiles
  gap: Quantiles
  refusal: Quantiles
}

export interface Quantiles {
  p50: number
  p95: number
  p99: number
}

export function quantiles(samples: ArrayLike<number>): Quantiles {
  return { p50: percentile(samples, 0.5), p95: percentile(samples, 0.95), p99: percentile(samples, 0.99) }
}

export class Tally {
  readonly #whole: StreamResult[] = []
  readonly #gaps: number[] = []
  readonly #refusals: number[] = []
  readonly #flaws: string[] = []
  #left = 0
  #broken = 0

  /**
   * `tokens`: how many the answer should have. `slowReader`: its gaps are the client's doing and are not counted.
   * @returns the milliseconds for which a 429 asked the client to stay away, 0 for other results.
   */
  add(result: StreamResult, tokens: number, slowReader = false): number {
    const waitMs = refusalWaitMs(result)
    if (waitMs !== null) {
      this.#refusals.push(result.endedAt - result.startedAt)
      return waitMs
    }
    const wrong = result.aborted ? null : flaw(result, tokens)
    if (result.aborted) this.#left++
    else if (wrong === null) {
      this.#whole.push({ ...result, text: '' })
      if (!slowReader) for (const gap of gaps(result.arrivals)) this.#gaps.push(gap)
    } else {
      this.#broken++
      if (this.#flaws.length < 10) this.#flaws.push(wrong)
    }
    return 0
  }

  /** `from`, `to`: the window of the goodput, `performance.now()` milliseconds. */
  summary(from: number, to: number): TallySummary {
    return {
      whole: this.#whole.length,
      refused: this.#refusals.length,
      left: this.#left,
      broken: this.#broken,
      flaws: this.#flaws,
      goodput: (sum(this.#whole.map(result => tokensBetween(result, from, to))) * 1000) / (to - from),
      firstToken: quantiles(this.#whole.map(firstTokenMs)),
      gap: quantiles(this.#gaps),
      refusal: quantiles(this.#refusals)
    }
  }
}

/** For an honest refusal (429 with `retry-after-ms` or `retry-after`) the milliseconds it asks for, otherwise null. */
export function refusalWaitMs(result: StreamResult): number | null {
  if (result.status !== 429) return null
  const ms = result.headers['retry-after-ms']
  const value = ms === undefined ? Number(result.headers['retry-after'] ?? Number.NaN) * 1000 : Number(ms)
  return Number.isFinite(value) && value >= 0 ? value : null
}

/** Tokens of an answer that arrived in [from, to]. A piece of text may hold several tokens: they count evenly. */
function tokensBetween(result: StreamResult, from: number, to: number): number {
  const inside = result.arrivals.filter(time => time >= from && time <= to).length
  return (inside * result.completionTokens) / Math.max(1, result.arrivals.length)
}
