/**
 * A coding agent sends out its sub-agents: many requests at the same moment with one long system prompt and a few own
 * words each. A server that shares prefixes computes the system prompt once.
 */
import { assertWhole, firstTokenMs, stream } from './support/client.js'
import { chosen, octavoCommand, peerCommand, readOptions } from './support/options.js'
import { watchPool } from './support/pool.js'
import { main, Report } from './support/report.js'
import { against, column, rounds } from './support/rounds.js'
import { max, median, percentile, sum } from './support/statistics.js'
import { fixed, milliseconds, percent, ratio, table } from './support/table.js'
import { assertSameWork, learnTokenRate, wordsFor } from './support/tokens.js'

interface Wave {
  ms: number
  /** Each request's time to its first token, milliseconds. */
  firstTokens: number[]
  promptTokens: number
  cachedTokens: number
  /** Highest use of the pool, cells; NaN when the server does not tell. */
  poolPeak: number
}

await main(async () => {
  const options = readOptions('Simultaneous requests with one long system prompt', {
    requests: { default: '32', help: 'requests at once' },
    shared: { default: '2000', help: 'tokens of the common system prompt' },
    own: { default: '60', help: 'own tokens of each request' },
    tokens: { default: '32', help: 'tokens of an answer' }
  })
  const requests = options.number('requests')
  const tokens = options.number('tokens')
  const commands = chosen(options, [
    octavoCommand(options, 'octavo'),
    octavoCommand(options, `octavo --parallel ${requests}`, ['--parallel', String(requests)]),
    peerCommand(options, 'llama-server default')
  ])
  const report = new Report('fanout', options, commands)

  const samples = await rounds(report, commands, options.runs, async (server, key): Promise<Wave> => {
    const prompts = options.prompts.with(key)
    const rate = await learnTokenRate(server)
    const system = prompts.text('system', wordsFor(options.number('shared'), rate))
    const ownWords = wordsFor(options.number('own'), rate)
    const pool = watchPool(server, 100)
    const startedAt = performance.now()
    const results = await Promise.all(
      Array.from({ length: requests }, (_, i) =>
        stream(server, {
          messages: [
            { role: 'system', content: system },
            { role: 'user', content: prompts.text(`own/${i}`, ownWords) }
          ],
          tokens
        })
      )
    )
    const ms = performance.now() - startedAt
    const peak = await pool.stop()
    assertWhole(results, tokens, server.name)
    return {
      ms,
      firstTokens: results.map(firstTokenMs),
      promptTokens: sum(results.map(result => result.promptTokens)),
      cachedTokens: sum(results.map(result => result.cachedTokens)),
      poolPeak: peak?.used ?? Number.NaN
    }
  })

  assertSameWork(
    new Map(commands.map(({ name }) => [name, median(column(samples, name, wave => wave.promptTokens))]))
  )
  const peer = commands.find(({ name }) => name.startsWith('llama-server'))?.name
  const typical = (name: string, figure: (wave: Wave) => number) => median(column(samples, name, figure))
  report.print(
    table(
      [
        `${requests} requests at once`,
        'time',
        '/ llama-server',
        'TTFT p50',
        'TTFT p95',
        'prompt tokens',
        'cached',
        'computed',
        'pool peak, cells'
      ],
      commands.map(({ name }) => {
        const prompt = typical(name, wave => wave.promptTokens)
        const cached = typical(name, wave => wave.cachedTokens)
        return [
          name,
          milliseconds(typical(name, wave => wave.ms)),
          peer === undefined || name === peer ? '' : ratio(against(samples, name, peer, wave => wave.ms)),
          milliseconds(typical(name, wave => percentile(wave.firstTokens, 0.5))),
          milliseconds(typical(name, wave => percentile(wave.firstTokens, 0.95))),
          fixed(prompt),
          `${fixed(cached)} (${percent(cached / prompt)})`,
          fixed(prompt - cached),
          fixed(max(column(samples, name, wave => wave.poolPeak)))
        ]
      })
    )
  )
  report.save({ samples: Object.fromEntries(samples) })
})
