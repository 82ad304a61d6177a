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

const packageName = 'octavo'
const names = ['SIGINT', 'SIGTERM'] as const
/** Ctrl-C under `npm start` comes twice, from the terminal and from npm: what comes so soon is the same wish. */
const sameWishMs = 250

/** How often to look whether the shell of `npm start` is still there. */
const lookMs = 500

export function watchSignals(env: NodeJS.ProcessEnv = process.env): StopSignals {
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
  const forget = underNpm(env) ? watchParent(() => listener('SIGTERM')) : () => {}
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
      forget()
    }
  }
}

/** `npm start`, and not some other program's script. */
function underNpm(env: NodeJS.ProcessEnv): boolean {
  return env.npm_lifecycle_event === 'start' && env.npm_package_name === packageName
}

/**
 * npm that is asked to end passes that on to the shell in which it runs its script, and the shell (dash) ends without a
 * word to us. We see it by having another parent; not on Windows, where a process keeps the number of a parent that ended.
 */
function watchParent(onGone: () => void): () => void {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    onGone()
  }, lookMs)
  timer.unref()
  return () => clearInterval(timer)
}
