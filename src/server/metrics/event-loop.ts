import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Sample } from './registry.js'

/** Milliseconds between two looks; what is measured contains it. */
const resolution = 20

/** How late the event loop of this process is. */
export class EventLoopLag {
  readonly #delay = monitorEventLoopDelay({ resolution })

  constructor() {
    this.#delay.enable()
  }

  /** Seconds since the last call. */
  read(): Sample[] {
    const { max } = this.#delay
    const samples = [
      { labels: { quantile: '0.5' }, value: seconds(this.#delay.percentile(50)) },
      { labels: { quantile: '0.99' }, value: seconds(this.#delay.percentile(99)) },
      { labels: { quantile: '1' }, value: seconds(max) }
    ]
    this.#delay.reset()
    return samples
  }

  stop(): void {
    this.#delay.disable()
  }
}

function seconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - resolution / 1000)
}
