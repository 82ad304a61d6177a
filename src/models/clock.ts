/** Time as the supervisor sees it, so that tests of pauses and bounds do not have to wait for them. */
export interface Clock {
  /** Milliseconds from any fixed origin; never goes back. */
  now(): number
  /** Calls `run` once after `ms` milliseconds. Returns a function that takes this back. */
  after(ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    // Timers may fire a little early by the finer clock above.
    const timer = setTimeout(run, Math.ceil(ms) + 1)
    return () => clearTimeout(timer)
  }
}
