import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

interface Endpoint {
  errors: number
  aborted: number
  /** Microseconds, to 1 % (an HDR histogram: its size does not grow with what is recorded). */
  times: RecordableHistogram
}

/** Milliseconds. */
export interface EndpointFigures {
  count: number
  mean: number
  p50: number
  p95: number
  p99: number
  errors: number
  /** Errors per answered request. */
  errorRate: number
  /** The connection ended before the answer did. */
  aborted: number
}

/** Longer answers count as this long, microseconds. */
const longest = 24 * 3600 * 1_000_000

/** How long each route takes, and how often it fails. As many entries as there are routes. */
export class Endpoints {
  readonly #endpoints = new Map<string, Endpoint>()

  add(endpoint: string, ms: number, outcome: 'ok' | 'error' | 'aborted'): void {
    let known = this.#endpoints.get(endpoint)
    if (!known) {
      known = { errors: 0, aborted: 0, times: createHistogram({ lowest: 1, highest: longest, figures: 2 }) }
      this.#endpoints.set(endpoint, known)
    }
    known.times.record(Math.min(longest, Math.max(1, Math.round(ms * 1000))))
    if (outcome === 'error') known.errors++
    if (outcome === 'aborted') known.aborted++
  }

  figures(): Record<string, EndpointFigures> {
    const entries = [...this.#endpoints].map(([name, { times, errors, aborted }]) => {
      const { count } = times
      const quantile = (percent: number) => milliseconds(times.percentile(percent))
      return [
        name,
        {
          count,
          mean: milliseconds(times.mean),
          p50: quantile(50),
          p95: quantile(95),
          p99: quantile(99),
          errors,
          errorRate: errors / count,
          aborted
        }
      ]
    })
    return Object.fromEntries(entries)
  }
}

function milliseconds(microseconds: number): number {
  return Math.round(microseconds) / 1000
}
