import { fileURLToPath } from 'node:url'
import type { Clock } from '../../src/models/clock.js'
import type { ModelOptions } from '../../src/models/hosting-options.js'
import type { Logger } from '../../src/models/log.js'
import { engineConfig } from './messages.js'

export const fakeEngine = fileURLToPath(new URL('./fake-engine.js', import.meta.url))

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  #now = 1_000
  readonly #timers = new Set<{ at: number; run: () => void }>()

  now(): number {
    return this.#now
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Milliseconds until each timer, soonest first. */
  get pending(): number[] {
    return [...this.#timers].map(timer => timer.at - this.#now).sort((a, b) => a - b)
  }

  advance(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const due = [...this.#timers].filter(timer => timer.at <= until).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#now = Math.max(this.#now, due.at)
      due.run()
    }
    this.#now = until
  }
}

/** Waits for something to become true, with real time; throws when it takes too long. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  limitMs = 10_000
): Promise<void> {
  const start = performance.now()
  while (!(await holds())) {
    if (performance.now() - start > limitMs) throw new Error(`never came true: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** A model on the fake engine; see fake-engine.ts for what it can do wrong. */
export function hosted(
  behaviour: Record<string, string | number> = {},
  bytes = 100
): Pick<ModelOptions, 'file' | 'plan'> {
  const config = engineConfig(behaviour)
  return { file: config.model, plan: () => ({ config, bytes }) }
}
