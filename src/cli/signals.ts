/** SIGTERM and SIGINT as something to wait for: the first asks to end, the second to hurry, the third ends at once. */
export interface StopSignals {
  /** Aborted by the first signal; the reason is its name. */
  readonly stop: AbortSignal
  /** Resolves at once when it has come already. */
  stopped(): Promise<void>
  /** Called at the second signal. */
  onHurry(listener: () => void): void
  dispose(): void
}

const names = ['SIGINT', 'SIGTERM'] as const
/** Ctrl-C under `npm start` comes twice, from the terminal and from npm: what comes so soon is the same wish. */
const sameWishMs = 250

export function watchSignals(): StopSignals {
  const controller = new AbortController()
  let hurry = () => {}
  let count = 0
  let last = Number.NEGATIVE_INFINITY
  const listener = (name: NodeJS.Signals) => {
    const now = performance.now()
    if (now - last < sameWishMs) return
    last = now
    count++
    if (count === 1) controller.abort(name)
    else if (count === 2) hurry()
    else process.exit(1)
  }
  for (const name of names) process.on(name, listener)
  return {
    stop: controller.signal,
    stopped: () =>
      new Promise(resolve => {
        if (controller.signal.aborted) resolve()
        else controller.signal.addEventListener('abort', () => resolve(), { once: true })
      }),
    onHurry(listener) {
      hurry = listener
    },
    dispose() {
      for (const name of names) process.off(name, listener)
    }
  }
}
