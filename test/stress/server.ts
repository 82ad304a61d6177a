import type { Endpoint, StreamResult } from '../../bench/support/client.js'
import { fetchText, flaw, stream } from '../../bench/support/client.js'
import { octavo } from '../cli/octavo.js'
import { total } from '../server/metrics/exposition.js'

export const long = process.env.OCTAVO_TEST_LONG !== undefined

export interface Stats {
  memory: { rss: number }
  endpoints: Record<string, { count: number; errors: number; aborted: number }>
  models: Record<
    string,
    {
      tokens: { prompt: number; generated: number }
      engine: {
        running: number
        waiting: number
        waitingTokens: number
        memoryBytes: number
        pool: { cells: number; usedCells: number; idleCells: number }
      } | null
    }
  >
}

/** The real server with the embedded model, one compute thread. */
export class StressServer implements Endpoint {
  readonly host: string
  readonly port: number

  private constructor(
    address: string,
    readonly stderr: () => string
  ) {
    const { hostname, port } = new URL(address)
    this.host = hostname
    this.port = Number(port)
  }

  static async start(test: { teardown(clean: () => unknown): void }, args: string[]): Promise<StressServer> {
    // The tiers below the pool would hide what grows.
    const tiers = ['--cache-ram', '32', '--cache-disk', '0']
    const server = octavo(test, ['serve', '--port', '0', '--log-format', 'json', ...tiers, ...args])
    const ready = JSON.parse(await server.line(/"msg":"ready"/))
    return new StressServer(ready.address, server.stderr)
  }

  async stats(): Promise<Stats> {
    return JSON.parse((await fetchText(this, '/stats')).body)
  }

  metrics(): Promise<string> {
    return fetchText(this, '/metrics').then(reply => reply.body)
  }

  /** The default model's engine as it reported last. */
  async engine() {
    const engine = Object.values((await this.stats()).models)[0]?.engine
    if (!engine) throw new Error('there is no engine')
    return engine
  }

  /** Bytes of both processes. */
  async memory(): Promise<number> {
    const stats = await this.stats()
    return stats.memory.rss + (await this.engine()).memoryBytes
  }

  /** Waits until nothing runs or waits, and says what is wrong when that does not come; null: all is as it should be. */
  async settled(limitMs = 20_000): Promise<string | null> {
    const end = performance.now() + limitMs
    for (;;) {
      const { running, waiting, waitingTokens, pool } = await this.engine()
      const held = pool.usedCells - pool.idleCells
      if (running === 0 && waiting === 0 && waitingTokens === 0 && held === 0) return null
      if (performance.now() > end)
        return `still ${running} running, ${waiting} waiting, ${held} cells held: ${JSON.stringify(pool)}`
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }

  /** HTTP replies by status, over all routes. */
  async statuses(): Promise<Record<string, number>> {
    const text = await this.metrics()
    const found = new Set(
      [...text.matchAll(/octavo_http_requests_total\{[^}]*status="(\d+)"/g)].map(m => m[1]!)
    )
    return Object.fromEntries(
      [...found].map(status => [status, total(text, 'octavo_http_requests_total', `status="${status}"`)])
    )
  }
}

/** What happened to many requests: whole answers, honest refusals, and anything else, which should not be. */
export class Tally {
  whole = 0
  refused = 0
  readonly wrong: string[] = []
  promptTokens = 0
  completionTokens = 0

  add(result: StreamResult, tokens: number): void {
    if (result.status === 429) {
      const ms = Number(result.headers['retry-after-ms'])
      const seconds = Number(result.headers['retry-after'])
      const honest = ms >= 1 && ms <= 60_000 && seconds === Math.ceil(ms / 1000)
      if (honest && result.error?.includes('"pool_exhausted"')) this.refused++
      else this.wrong.push(`a 429 without time or shape: ${result.error} ${JSON.stringify(result.headers)}`)
      return
    }
    const flawed = flaw(result, tokens)
    if (flawed === null) {
      this.whole++
      this.promptTokens += result.promptTokens
      this.completionTokens += result.completionTokens
    } else this.wrong.push(flawed)
  }
}

const words =
  'river stone lamp garden winter paper cloud engine morning silver bridge forest letter music'.split(' ')

/** A prompt of so many words that shares nothing with another key's. */
export function prompt(key: string, count: number): string {
  let seed = 0
  for (const char of key) seed = (seed * 31 + char.charCodeAt(0)) >>> 0
  const picked = Array.from({ length: count }, () => {
    seed = (seed * 1664525 + 1013904223) >>> 0
    return words[(seed >>> 8) % words.length]
  })
  return `${key}: ${picked.join(' ')}`
}

/** One streamed request of its own. */
export function ask(
  server: Endpoint,
  key: string,
  options: { words: number; tokens: number; signal?: AbortSignal }
): Promise<StreamResult> {
  const messages = [{ role: 'user' as const, content: prompt(key, options.words) }]
  return stream(server, { messages, tokens: options.tokens, signal: options.signal })
}

/** So many clients, each sending its next request when the last one is answered; a refused one waits a little. */
export async function clients(
  server: Endpoint,
  tally: Tally,
  load: { name: string; clients: number; ms: number; words: number; tokens: number }
): Promise<void> {
  const until = performance.now() + load.ms
  const one = async (client: number) => {
    for (let i = 0; performance.now() < until; i++) {
      const result = await ask(server, `${load.name} ${client} ${i}`, load)
      tally.add(result, load.tokens)
      if (result.status === 200) continue
      const wait = Math.min(Number(result.headers['retry-after-ms']) || 1000, 1000)
      await new Promise(resolve => setTimeout(resolve, wait))
    }
  }
  await Promise.all(Array.from({ length: load.clients }, (_, client) => one(client)))
}
