import { fileURLToPath } from 'node:url'
import { assertWhole, stream } from './client.js'
import { type ProbeResult, startProbe } from './probe.js'
import type { Report } from './report.js'
import { type Command, startServer, withServer } from './server.js'
import { milliseconds, ratio, table } from './table.js'

/** A bare Fastify route in its own process, beside the server under load on the same machine. */
export const bareFastify: Command = {
  name: 'bare Fastify',
  file: process.execPath,
  args: [fileURLToPath(new URL('./bare-fastify.js', import.meta.url))]
}

export interface HealthFigures {
  server: string
  health: ProbeResult
  bare: ProbeResult
}

/**
 * Latency of `/health` while `streams` streams run without a break, and of a bare Fastify route asked in turn with it:
 * both share the processors with the same engine and the same clients.
 */
export async function measureHealth(
  report: Report,
  commands: Command[],
  load: { seconds: number; streams: number; words: number }
): Promise<HealthFigures[]> {
  const figures: HealthFigures[] = []
  for (const command of commands) {
    const bare = await startServer(bareFastify)
    try {
      await withServer(command, async server => {
        const until = performance.now() + load.seconds * 1000
        const client = async (index: number) => {
          for (let i = 0; performance.now() < until; i++) {
            const key = `health/${command.name}/${index}/${i}`
            const content = report.options.prompts.text(key, load.words)
            assertWhole(
              [await stream(server, { messages: [{ role: 'user', content }], tokens: 128 })],
              128,
              server.name
            )
          }
        }
        const clients = Promise.all(Array.from({ length: load.streams }, (_, i) => client(i)))
        const probe = startProbe(
          [
            { name: command.name, host: server.host, port: server.port, path: '/health' },
            { name: bare.name, host: bare.host, port: bare.port, path: '/health' }
          ],
          5
        )
        try {
          await clients
        } finally {
          const [health, plain] = await probe.stop()
          figures.push({ server: command.name, health: health!, bare: plain! })
        }
      })
    } finally {
      await bare.stop()
    }
    report.progress(`/health of ${command.name}`)
  }
  report.print(
    table(
      [
        `GET /health, ${load.streams} streams`,
        'p50',
        'p99',
        'max',
        'bare p50',
        'bare p99',
        'p99 / bare p99',
        'asked'
      ],
      figures.map(({ server, health, bare }) => [
        server,
        milliseconds(health.p50),
        milliseconds(health.p99),
        milliseconds(health.max),
        milliseconds(bare.p50),
        milliseconds(bare.p99),
        ratio(health.p99 / bare.p99),
        `${health.count}${health.errors > 0 ? `, ${health.errors} failed` : ''}`
      ])
    )
  )
  return figures
}
