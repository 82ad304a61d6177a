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

export function watchSignals(): StopSignals {
  const controller = new AbortController()
  let hurry = () => {}
  let count = 0
  const listener = (name: NodeJS.Signals) => {
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
