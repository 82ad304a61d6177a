/**
 * Hours of mixed load: chats, agents with growing histories, long prompts, slow readers, clients that cancel and clients
 * that vanish. What counts is that nothing grows and nothing gets slower. Ends with a report and plots.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { packageRoot } from '../src/root.js'
import { assertWhole, stream } from './support/client.js'
import { closedLoop, sleep } from './support/load.js'
import { type Kind, Mix } from './support/mix.js'
import { chosen, octavoCommand, peerCommand, readOptions } from './support/options.js'
import { readPool } from './support/pool.js'
import { hashText, seededRandom } from './support/random.js'
import { main, Report } from './support/report.js'
import { type Server, withServer } from './support/server.js'
import { median } from './support/statistics.js'
import { linePlot } from './support/svg.js'
import { fixed, mebibytes, milliseconds, percent, table } from './support/table.js'
import { Tally, type TallySummary } from './support/tally.js'

/** Resident bytes: of the process that was started, and of those below it together. */
interface MemorySample {
  minute: number
  server: number
  engine: number
}

await main(async () => {
  const options = readOptions('A mixed load for a long time; memory and latencies over time', {
    minutes: { default: '60', help: 'how long' },
    clients: { default: '12', help: 'clients at work at a time' },
    pause: { default: '100', help: 'mean pause of a client between requests, milliseconds' },
    warm: { default: '5', help: 'minutes after which memory should not grow' }
  })
  const command = chosen(options, [octavoCommand(options), peerCommand(options, 'llama-server default')])[0]!
  const report = new Report('soak', options, [command])
  const minutes = options.number('minutes')
  const mix = new Mix(options.prompts, seededRandom(hashText(options.prompts.salt)))
  const memory: MemorySample[] = []
  const perMinute: TallySummary[] = []
  const counts = new Map<Kind, number>()
  const flaws: string[] = []
  let broken = 0
  const note = (summary: TallySummary) => {
    broken += summary.broken
    if (flaws.length < 20) flaws.push(...summary.flaws)
    return summary
  }

  const end = await withServer(command, async server => {
    const startedAt = performance.now()
    const until = startedAt + minutes * 60_000
    let tally = new Tally()
    const sampling = sampleMemory(server, startedAt, until, memory)
    const turning = (async () => {
      for (let from = startedAt; from < until; ) {
        const to = Math.min(from + 60_000, until)
        await sleep(to - performance.now())
        const full = tally
        tally = new Tally()
        // What began in this minute and is still going belongs to the next one.
        const summary = note(full.summary(from, to))
        perMinute.push(summary)
        const { server: rss = 0, engine = 0 } = memory.at(-1) ?? {}
        report.progress(
          `minute ${perMinute.length}: ${summary.whole} whole, ${summary.refused} refused, ${summary.left} left, ` +
            `${summary.broken} broken, ${mebibytes(rss)} + ${mebibytes(engine)}`
        )
        from = to
      }
    })()
    await closedLoop(options.number('clients'), until, async (client, index) => {
      const asked = await mix.ask(server, `${client}/${index}`)
      counts.set(asked.kind, (counts.get(asked.kind) ?? 0) + 1)
      const waitMs = tally.add(asked.result, asked.tokens, asked.kind === 'slow')
      return Math.max(waitMs, mix.random() * 2 * options.number('pause'))
    })
    await Promise.all([sampling, turning])
    // Answers that came after the last minute are not in its figures, but have to be whole as well.
    note(tally.summary(startedAt, until))
    await sleep(2000)
    assertWhole(
      [await stream(server, { messages: [{ role: 'user', content: 'Are you there?' }], tokens: 8 })],
      8,
      'the last request'
    )
    return { pool: await readPool(server), exit: server.exit() }
  })

  const warm = Math.min(options.number('warm'), minutes / 2)
  const growth = { server: grownAfter(memory, warm, 'server'), engine: grownAfter(memory, warm, 'engine') }
  report.print(
    table(
      ['memory', `after ${fixed(warm, 1)} min`, 'at the end', 'growth'],
      (['server', 'engine'] as const)
        .filter(which => growth[which].before > 0)
        .map(which => [
          which === 'server' ? 'server process' : 'engine processes',
          mebibytes(growth[which].before),
          mebibytes(growth[which].after),
          percent(growth[which].after / growth[which].before - 1)
        ])
    )
  )
  const spread = (figure: (one: TallySummary) => number) => {
    const values = perMinute.map(figure)
    const tenth = Math.max(1, Math.floor(values.length / 10))
    return [median(values), median(values.slice(0, tenth)), median(values.slice(-tenth))].map(milliseconds)
  }
  report.print(
    table(
      ['per minute', 'median', 'first tenth', 'last tenth'],
      [
        ['TTFT p50', ...spread(one => one.firstToken.p50)],
        ['TTFT p95', ...spread(one => one.firstToken.p95)],
        ['TTFT p99', ...spread(one => one.firstToken.p99)],
        ['gap p50', ...spread(one => one.gap.p50)],
        ['gap p95', ...spread(one => one.gap.p95)],
        ['gap p99', ...spread(one => one.gap.p99)]
      ]
    )
  )
  const total = [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')
  report.print(`Requests: ${total}. Broken: ${broken}. Pool at the end: ${JSON.stringify(end.pool)}.`)
  const file = report.save({ memory, perMinute, counts: Object.fromEntries(counts), growth, flaws, ...end })
  writePlots(file.replace(/\.json$/, ''), memory, perMinute)
  if (broken > 0) throw new Error(`${broken} answers were broken:\n- ${flaws.join('\n- ')}`)
})

async function sampleMemory(
  server: Server,
  startedAt: number,
  until: number,
  into: MemorySample[]
): Promise<void> {
  while (performance.now() < until) {
    const [root, ...below] = await server.memory()
    const engine = below.reduce((bytes, one) => bytes + one.rss, 0)
    into.push({ minute: (performance.now() - startedAt) / 60_000, server: root?.rss ?? 0, engine })
    await sleep(Math.min(5000, Math.max(0, until - performance.now())))
  }
}

/** Median resident bytes of the minute (or tenth of the run) after `warm`, and of the last one. */
function grownAfter(memory: MemorySample[], warm: number, which: 'server' | 'engine') {
  const end = memory.at(-1)?.minute ?? 0
  const span = Math.min(1, (end - warm) / 2)
  const within = (from: number, to: number) =>
    median(memory.filter(({ minute }) => minute >= from && minute <= to).map(sample => sample[which]))
  return { before: within(warm, warm + span), after: within(end - span, end) }
}

function writePlots(stem: string, memory: MemorySample[], perMinute: TallySummary[]): void {
  mkdirSync(path.dirname(stem), { recursive: true })
  const overMinutes = (name: string, figure: (one: TallySummary) => number) => ({
    name,
    points: perMinute.map((one, i): [number, number] => [i + 1, figure(one)])
  })
  const resident = (name: string, which: 'server' | 'engine') => ({
    name,
    points: memory.map((one): [number, number] => [one.minute, one[which] / 2 ** 20])
  })
  const plots = {
    memory: {
      title: 'Resident memory',
      y: 'MiB',
      series: [resident('server process', 'server'), resident('engine processes', 'engine')]
    },
    ttft: {
      title: 'Time to first token',
      y: 'ms',
      series: (['p50', 'p95', 'p99'] as const).map(q => overMinutes(q, one => one.firstToken[q]))
    },
    gap: {
      title: 'Gap between tokens',
      y: 'ms',
      series: (['p50', 'p95', 'p99'] as const).map(q => overMinutes(q, one => one.gap[q]))
    },
    goodput: { title: 'Goodput', y: 'tokens/s', series: [overMinutes('whole answers', one => one.goodput)] }
  }
  for (const [name, plot] of Object.entries(plots)) {
    writeFileSync(`${stem}-${name}.svg`, linePlot({ ...plot, x: 'minutes' }))
    console.error(`  plot: ${path.relative(packageRoot(), `${stem}-${name}.svg`)}`)
  }
}
