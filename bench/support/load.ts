/** Two ways of putting load on a server; a request is whatever `ask` does. */

/**
 * `clients` clients that ask again as soon as they have an answer, until the time `until` (`performance.now()`).
 * What `ask` resolves to is how long that client then waits, milliseconds. `rampMs`: they begin one after the other in
 * this time, not all in the same millisecond: that would measure how long the client takes to connect them.
 */
export async function closedLoop(
  clients: number,
  until: number,
  ask: (client: number, index: number) => Promise<number>,
  rampMs = 0
): Promise<void> {
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      if (rampMs > 0) await sleep((rampMs * client) / clients)
      for (let index = 0; performance.now() < until; index++) {
        const waitMs = await ask(client, index)
        const left = until - performance.now()
        if (waitMs > 0 && left > 0) await sleep(Math.min(waitMs, left))
      }
    })
  )
}

/** Requests at a steady rate, whether or not earlier ones have been answered; resolves when all have ended. */
export async function openLoop(
  perSecond: number,
  until: number,
  ask: (index: number) => Promise<unknown>
): Promise<void> {
  const startedAt = performance.now()
  const asked: Array<Promise<unknown>> = []
  for (let now = startedAt; now < until; now = performance.now()) {
    const due = Math.floor(((now - startedAt) * perSecond) / 1000) + 1
    while (asked.length < due) asked.push(ask(asked.length))
    await sleep(Math.min(20, 1000 / perSecond))
  }
  await Promise.all(asked)
}

export function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
