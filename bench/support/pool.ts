import { type Endpoint, fetchText } from './client.js'

/** Cells (tokens) of a server's pool. */
export interface PoolUse {
  cells: number
  used: number
}

/** What `GET /health` or `GET /stats` says about the pool (`cells`, `usedCells`); null when they say nothing. */
export async function readPool(endpoint: Endpoint): Promise<PoolUse | null> {
  for (const path of ['/stats', '/health']) {
    const reply = await fetchText(endpoint, path).catch(() => null)
    if (reply?.status !== 200) continue
    let body: unknown
    try {
      body = JSON.parse(reply.body)
    } catch {
      continue
    }
    const pool = findPool(body)
    if (pool !== null) return pool
  }
  return null
}

/** The first object, however deep, that has both figures. */
function findPool(value: unknown): PoolUse | null {
  if (typeof value !== 'object' || value === null) return null
  const { cells, usedCells, used_cells: snake } = value as Record<string, unknown>
  const used = usedCells ?? snake
  if (typeof cells === 'number' && typeof used === 'number') return { cells, used }
  for (const inner of Object.values(value)) {
    const found = findPool(inner)
    if (found !== null) return found
  }
  return null
}

/** Reads the pool every `everyMs` and keeps the highest use. */
export function watchPool(endpoint: Endpoint, everyMs: number): { stop(): Promise<PoolUse | null> } {
  let peak: PoolUse | null = null
  let stopped = false
  const watching = (async () => {
    do {
      const now = await readPool(endpoint)
      if (now === null) return
      if (peak === null || now.used > peak.used) peak = now
      await new Promise(resolve => setTimeout(resolve, everyMs))
    } while (!stopped)
  })()
  return {
    async stop() {
      stopped = true
      await watching
      return peak
    }
  }
}
