/**
 * Decode speed: waves of 1, 4 and 16 streams with short prompts, over HTTP. What is compared is the whole way of a
 * token: scheduling, llama_decode, sampling, detokenizing, writing the event.
 */

import { assertWhole, type StreamResult, stream } from './support/client.js'
import { measureHealth } from './support/health.js'
import { chosen, octavoCommand, peerCommand, readOptions } from './support/options.js'
import { main, Report } from './support/report.js'
import { against, column, rounds } from './support/rounds.js'
import type { Server } from './support/server.js'
import { median, sum } from './support/statistics.js'
import { fixed, milliseconds, ratio, table } from './support/table.js'
import { assertSameWork } from './support/tokens.js'

interface Wave {
  streams: number
  /** Generated tokens per second of wall time, prompts included. */
  tokensPerSecond: number
  /** Median gap between two tokens of a stream, milliseconds. */
  gapMs: number
  promptTokens: number
}

await main(async () => {
  const options = readOptions('Decode speed of 1, 4 and 16 streams, and /health meanwhile', {
    streams: { default: '1,4,16', help: 'numbers of streams' },
    words: { default: '60', help: 'words of a prompt' },
    tokens: { default: '96', help: 'tokens of an answer' },
    answers: { default: '32', help: 'answers per number of streams, in waves' },
    'health-seconds': { default: '10', help: 'how long /health is probed under load; 0: not' }
  })
  const levels = options.own.streams.split(',').map(Number)
  const most = String(Math.max(...levels))
  const commands = chosen(options, [
    octavoCommand(options, 'octavo', ['--parallel', most]),
    peerCommand(options, `llama-server -np ${most} -kvu`, ['-np', most, '-kvu']),
    peerCommand(options, `llama-server -np ${most}`, ['-np', most]),
    peerCommand(options, 'llama-server default')
  ])
  const report = new Report('decode', options, commands)
  const words = options.number('words')
  const tokens = options.number('tokens')
  const answers = options.number('answers')

  async function wave(server: Server, key: string, streams: number): Promise<StreamResult[]> {
    const results = await Promise.all(
      Array.from({ length: streams }, (_, i) =>
        stream(server, {
          messages: [{ role: 'user', content: options.prompts.text(`${key}/${i}`, words) }],
          tokens
        })
      )
    )
    assertWhole(results, tokens, server.name)
    return results
  }

  const samples = await rounds(report, commands, options.runs, async (server, key) => {
    await wave(server, `${key}/warm`, 1)
    const waves: Wave[] = []
    for (const streams of levels) {
      let ms = 0
      const gaps: number[] = []
      let promptTokens = 0
      const count = Math.max(1, Math.round(answers / streams))
      for (let i = 0; i < count; i++) {
        const startedAt = performance.now()
        const results = await wave(server, `${key}/${streams}/${i}`, streams)
        ms += performance.now() - startedAt
        promptTokens += sum(results.map(result => result.promptTokens))
        for (const { arrivals } of results) gaps.push((arrivals.at(-1)! - arrivals[0]!) / (tokens - 1))
      }
      const tokensPerSecond = (count * streams * tokens * 1000) / ms
      waves.push({ streams, tokensPerSecond, gapMs: median(gaps), promptTokens })
    }
    return waves
  })

  assertSameWork(
    new Map(commands.map(({ name }) => [name, sum(samples.get(name)![0]!.map(one => one.promptTokens))]))
  )
  const at = (level: number) => (waves: Wave[]) => waves[level]!.tokensPerSecond
  const base = commands[0]!.name
  report.print(
    table(
      [
        `tokens/s; ratio: ${base} / it`,
        ...levels.map(n => `${n} streams`),
        ...levels.map(n => `ratio, ${n}`)
      ],
      commands.map(({ name }) => [
        name,
        ...levels.map((_, i) => fixed(median(column(samples, name, at(i))))),
        ...levels.map((_, i) => (name === base ? '' : ratio(against(samples, base, name, at(i)))))
      ])
    )
  )
  report.print(
    table(
      ['time per token of a stream', ...levels.map(n => `${n} streams`)],
      commands.map(({ name }) => [
        name,
        ...levels.map((_, i) => milliseconds(median(column(samples, name, waves => waves[i]!.gapMs))))
      ])
    )
  )

  const seconds = options.number('health-seconds')
  const health =
    seconds > 0 ? await measureHealth(report, commands, { seconds, streams: Number(most), words }) : null
  report.save({ samples: Object.fromEntries(samples), health })
})
