/**
 * The same long prompt from everywhere it can come from: computed, still in the pool, pushed out to RAM by other
 * prompts, and read from disk after the server was ended (SIGTERM), or killed, and started again.
 */
import { assertWhole, firstTokenMs, stream } from './support/client.js'
import { chosen, octavoCommand, octavoKnows, peerCommand, readOptions } from './support/options.js'
import { main, Report } from './support/report.js'
import { type Command, type Server, startServer, withServer } from './support/server.js'
import { median } from './support/statistics.js'
import { fixed, mebibytes, milliseconds, percent, ratio, table } from './support/table.js'
import { readTiers, type Source, type TierFigures, withCacheFolder } from './support/tiers.js'
import { learnTokenRate, wordsFor } from './support/tokens.js'

/** Milliseconds to the first token, and how many of the prompt's tokens were not computed. */
interface Answer {
  firstTokenMs: number
  cached: number
  promptTokens: number
  /** Only Octavo tells. */
  source: Source | null
}

interface Run {
  cold: Answer
  hot: Answer
  /** After other prompts have filled the pool more than once. */
  pushedOut: Answer
  afterRestart: Answer
  /** After a kill, `settle` seconds after a second prompt was first answered. */
  afterKill: Answer
  /** From SIGTERM to the end of the process, milliseconds. */
  endMs: number
  readyMs: number
  /** Of the second server, before it is killed; likewise. */
  tiers: TierFigures | null
}

/** Enough that some of them are text. */
const answerTokens = 16

const stages = ['cold', 'hot', 'pushedOut', 'afterRestart', 'afterKill'] as const

await main(async () => {
  const options = readOptions(
    'A long prompt cold, hot, pushed out, and after a restart',
    {
      prompt: { default: '3700', help: 'tokens of the prompt' },
      settle: { default: '5', help: 'seconds between the answer and the kill' }
    },
    { ctxSize: 16_384 }
  )
  const onDisk = octavoKnows(options, '--cache-dir')
  const { commands, report, samples } = await withCacheFolder(async folder => {
    const commands = chosen(options, [
      octavoCommand(options, 'octavo', onDisk ? ['--cache-dir', folder] : []),
      peerCommand(options, 'llama-server default')
    ])
    const report = new Report('restart', options, commands)
    const samples = new Map(commands.map(command => [command.name, [] as Run[]]))
    for (let round = 1; round <= options.runs; round++) {
      for (const command of commands) {
        samples.get(command.name)!.push(await run(command, `round ${round}`))
        report.progress(`round ${round} of ${options.runs}, ${command.name}`)
      }
    }
    return { commands, report, samples }
  })

  async function run(command: Command, key: string): Promise<Run> {
    const prompts = options.prompts.with(key)
    let words = 0
    const ask = async (server: Server, name: string): Promise<Answer> => {
      // Without a question a small model may answer with nothing but empty lines, which are no text in a chat.
      const content = `${prompts.text(name, words)}\n\nWhat is this about? Answer in one sentence.`
      const messages = [{ role: 'user' as const, content }]
      const result = await stream(server, { messages, tokens: answerTokens })
      assertWhole([result], answerTokens, server.name)
      return {
        firstTokenMs: firstTokenMs(result),
        cached: result.cachedTokens,
        promptTokens: result.promptTokens,
        source: result.source ?? null
      }
    }
    const first = await startServer(command)
    const part = { cold: null, hot: null, pushedOut: null } as unknown as Pick<
      Run,
      'cold' | 'hot' | 'pushedOut'
    >
    let endMs: number
    try {
      words = wordsFor(options.number('prompt'), await learnTokenRate(first))
      part.cold = await ask(first, 'prompt')
      part.hot = await ask(first, 'prompt')
      const fillers = Math.ceil((1.5 * options.ctxSize) / part.cold.promptTokens)
      for (let i = 0; i < fillers; i++) await ask(first, `filler ${i}`)
      part.pushedOut = await ask(first, 'prompt')
    } finally {
      const startedAt = performance.now()
      await first.stop('SIGTERM', 60_000)
      endMs = performance.now() - startedAt
    }
    const again = await withServer(command, async server => {
      const afterRestart = await ask(server, 'prompt')
      await ask(server, 'second')
      await new Promise(resolve => setTimeout(resolve, options.number('settle') * 1000))
      const tiers = await readTiers(server)
      await server.stop('SIGKILL')
      return { afterRestart, readyMs: server.readyMs, tiers }
    })
    const afterKill = await withServer(command, server => ask(server, 'second'))
    return { ...part, ...again, afterKill, endMs }
  }

  const typical = (name: string, figure: (run: Run) => number) => median(samples.get(name)!.map(figure))
  const times = (name: string) =>
    stages.map(stage => milliseconds(typical(name, one => one[stage].firstTokenMs)))
  const tokens = fixed(typical(commands[0]!.name, one => one.cold.promptTokens))
  report.print(
    table(
      [
        `TTFT, ${tokens} tokens`,
        'cold',
        'hot',
        'pushed out',
        'after restart',
        'after kill -9',
        'restart / cold',
        'restart / hot'
      ],
      commands.map(({ name }) => [
        name,
        ...times(name),
        ratio(typical(name, one => one.afterRestart.firstTokenMs / one.cold.firstTokenMs)),
        ratio(typical(name, one => one.afterRestart.firstTokenMs / one.hot.firstTokenMs))
      ])
    )
  )
  report.print(
    table(
      [
        'tokens not computed',
        'cold',
        'hot',
        'pushed out',
        'after restart',
        'after kill -9',
        'time to end',
        'time to start'
      ],
      commands.map(({ name }) => [
        name,
        ...stages.map(stage => percent(typical(name, one => one[stage].cached / one[stage].promptTokens))),
        milliseconds(typical(name, one => one.endMs)),
        milliseconds(typical(name, one => one.readyMs))
      ])
    )
  )
  const octavo = [...samples].find(([, runs]) => runs.some(one => one.tiers))
  if (octavo) {
    const [name, runs] = octavo
    const tokensFrom = (stage: (typeof stages)[number], tier: keyof Source) =>
      fixed(median(runs.map(one => one[stage].source?.[tier] ?? Number.NaN)))
    report.print(
      table(
        [`${name}: tokens from`, 'cold', 'hot', 'pushed out', 'after restart', 'after kill -9'],
        (['resident', 'ram', 'disk'] as const).map(tier => [
          tier === 'resident' ? 'the pool' : tier,
          ...stages.map(stage => tokensFrom(stage, tier))
        ])
      )
    )
    const figure = (of: (tiers: TierFigures) => number | undefined) =>
      median(runs.map(one => (one.tiers && of(one.tiers)) ?? Number.NaN))
    report.print(
      table(
        [
          `${name}, second server`,
          'on disk',
          'pieces',
          'read back',
          'piece from disk',
          'from RAM',
          'computed'
        ],
        [
          [
            'median',
            mebibytes(figure(({ disk }) => disk?.used)),
            fixed(figure(({ disk }) => disk?.pieces)),
            mebibytes(figure(({ disk }) => disk?.restored)),
            milliseconds(figure(({ costs }) => costs.disk)),
            milliseconds(figure(({ costs }) => costs.ram)),
            milliseconds(figure(({ costs }) => costs.compute))
          ]
        ]
      )
    )
  }
  if (!onDisk) report.print('This build of Octavo keeps no cache on disk.')
  report.save({ samples: Object.fromEntries(samples) })
})
