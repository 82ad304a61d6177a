/**
 * What saving prefixes costs the streams that run meanwhile. Clients ask one new prompt after the other, so that every
 * prompt and every answer is saved while others decode: to RAM, of which there is so little that something is written to
 * disk, or dropped, all the time. And what the tiers are good for on a CPU: a stream that began above a long idle prompt.
 */
import { assertWhole, type StreamResult, stream } from './support/client.js'
import { closedLoop } from './support/load.js'
import { chosen, octavoCommand, readOptions } from './support/options.js'
import { processorMsOfTree } from './support/processes.js'
import { main, Report } from './support/report.js'
import { against, column, type Samples } from './support/rounds.js'
import { type Command, type Server, withServer } from './support/server.js'
import { median } from './support/statistics.js'
import { fixed, mebibytes, milliseconds, ratio, table } from './support/table.js'
import { readTiers, withCacheFolder } from './support/tiers.js'
import { learnTokenRate, wordsFor } from './support/tokens.js'

interface Sample {
  /** Generated tokens per second while all clients ask. */
  tokensPerSecond: number
  /** Median gap between two tokens, milliseconds. */
  gapMs: number
  /** Processor time of server and engine per generated token, milliseconds. */
  processorMs: number
  /** Bytes saved to RAM and written to disk meanwhile, per second; NaN where there are no tiers. */
  savedPerSecond: number
  writtenPerSecond: number
  above: Above
}

/** Median gaps of a stream with a short prompt, milliseconds. */
interface Above {
  /** In an empty pool. */
  alone: number
  /** Begun while a long prompt's idle cells lie below: its first 32 tokens, and its last quarter. */
  first: number
  last: number
}

await main(async () => {
  const options = readOptions('Decode speed while prefixes are saved, and beside idle cells', {
    clients: { default: '8', help: 'clients that ask all the time' },
    words: { default: '100', help: 'words of a prompt' },
    tokens: { default: '128', help: 'tokens of an answer' },
    seconds: { default: '30', help: 'how long they ask' },
    ram: { default: '64', help: 'MiB of RAM for prefixes' },
    idle: { default: '6000', help: 'tokens of the idle prompt; 0: leave that part out' },
    long: { default: '512', help: 'tokens of the answer beside it' }
  })
  const clients = options.number('clients')
  const tokens = options.number('tokens')
  const parallel = ['--parallel', String(Math.max(clients, 1))]
  await withCacheFolder(async folder => {
    const off = 'tiers off'
    const commands = chosen(options, [
      octavoCommand(options, off, [...parallel, '--cache-ram', '0']),
      octavoCommand(options, 'RAM', [...parallel, '--cache-ram', options.own.ram]),
      octavoCommand(options, 'RAM and disk', [
        ...[...parallel, '--cache-ram', options.own.ram, '--cache-dir', folder],
        ...['--cache-disk', '2048', '--cache-write-budget', '0']
      ])
    ])
    const report = new Report('spill', options, commands)
    const samples: Samples<Sample> = new Map(commands.map(({ name }) => [name, []]))
    for (let round = 1; round <= options.runs; round++) {
      // Both orders: whoever comes first meets another machine than who comes last.
      for (const command of round % 2 === 1 ? commands : commands.toReversed()) {
        samples.get(command.name)!.push(await sample(command, `round ${round}`))
        report.progress(`round ${round} of ${options.runs}, ${command.name}`)
      }
    }

    const base = commands[0]!.name
    const figures = (name: string, of: (one: Sample) => number) => median(column(samples, name, of))
    report.print(
      table(
        [
          `ratio: it / ${base}`,
          'tokens/s',
          'ratio',
          'gap p50',
          'ratio',
          'processor/token',
          'ratio',
          'saved',
          'written'
        ],
        commands.map(({ name }) => [
          name,
          fixed(figures(name, one => one.tokensPerSecond)),
          name === base ? '' : ratio(against(samples, name, base, one => one.tokensPerSecond)),
          milliseconds(figures(name, one => one.gapMs)),
          name === base ? '' : ratio(against(samples, name, base, one => one.gapMs)),
          milliseconds(figures(name, one => one.processorMs)),
          name === base ? '' : ratio(against(samples, name, base, one => one.processorMs)),
          ...[figures(name, one => one.savedPerSecond), figures(name, one => one.writtenPerSecond)].map(
            bytes => (Number.isFinite(bytes) ? `${mebibytes(bytes)}/s` : '-')
          )
        ])
      )
    )
    if (options.number('idle') > 0) {
      report.print(
        table(
          [
            `gaps of one stream beside ${options.own.idle} idle tokens`,
            'empty pool',
            'its first 32 tokens',
            'its last quarter',
            'last / empty'
          ],
          commands.map(({ name }) => [
            name,
            milliseconds(figures(name, one => one.above.alone)),
            milliseconds(figures(name, one => one.above.first)),
            milliseconds(figures(name, one => one.above.last)),
            ratio(figures(name, one => one.above.last / one.above.alone))
          ])
        )
      )
    }
    report.save({ samples: Object.fromEntries(samples) })
  })

  function ask(server: Server, key: string, words: number, count = tokens): Promise<StreamResult> {
    const messages = [{ role: 'user' as const, content: options.prompts.text(key, words) }]
    return stream(server, { messages, tokens: count })
  }

  async function sample(command: Command, key: string): Promise<Sample> {
    const busy = await withServer(command, server => decodeWhileSaving(server, key))
    const nothing = { alone: Number.NaN, first: Number.NaN, last: Number.NaN }
    if (options.number('idle') === 0) return { ...busy, above: nothing }
    return { ...busy, above: await withServer(command, server => besideIdleCells(server, key)) }
  }

  async function decodeWhileSaving(server: Server, key: string): Promise<Omit<Sample, 'above'>> {
    const words = options.number('words')
    assertWhole([await ask(server, `${key}/warm`, words)], tokens, server.name)
    const results: StreamResult[] = []
    const before = await readTiers(server)
    const processorBefore = await processorMsOfTree(server.pid)
    const from = performance.now()
    const until = from + options.number('seconds') * 1000
    await closedLoop(clients, until, async (client, i) => {
      results.push(await ask(server, `${key}/${client}/${i}`, words))
      return 0
    })
    const to = performance.now()
    const processorMs = (await processorMsOfTree(server.pid)) - processorBefore
    const after = await readTiers(server)
    assertWhole(results, tokens, server.name)
    const arrivals = results.flatMap(result => result.arrivals)
    const share = arrivals.filter(time => time <= until).length / arrivals.length
    const rate = (tier: 'ram' | 'disk') =>
      (((after?.[tier]?.spilled ?? Number.NaN) - (before?.[tier]?.spilled ?? Number.NaN)) * 1000) /
      (to - from)
    return {
      tokensPerSecond: (results.length * tokens * share * 1000) / (until - from),
      gapMs: median(results.map(({ arrivals: a }) => (a.at(-1)! - a[0]!) / (tokens - 1))),
      processorMs: processorMs / (results.length * tokens),
      savedPerSecond: rate('ram'),
      writtenPerSecond: rate('disk')
    }
  }

  async function besideIdleCells(server: Server, key: string): Promise<Above> {
    const long = options.number('long')
    const idleWords = wordsFor(options.number('idle'), await learnTokenRate(server))
    const alone = await ask(server, `${key}/alone`, 20, long)
    const idle = await ask(server, `${key}/idle`, idleWords, 4)
    const beside = await ask(server, `${key}/beside`, 20, long)
    assertWhole([alone, beside], long, server.name)
    assertWhole([idle], 4, server.name)
    const lastQuarter = (result: StreamResult) => msPerToken(result, 0.75, 1, long)
    return {
      alone: lastQuarter(alone),
      first: msPerToken(beside, 0, 32 / long, long),
      last: lastQuarter(beside)
    }
  }
})

/** Between two shares (0..1) of a stream's pieces of text, milliseconds per token. */
function msPerToken({ arrivals }: StreamResult, from: number, to: number, tokens: number): number {
  const at = (share: number) => Math.round(share * (arrivals.length - 1))
  const perPiece = tokens / arrivals.length
  return (arrivals[at(to)]! - arrivals[at(from)]!) / ((at(to) - at(from)) * perPiece)
}
