/**
 * A team of agents: each has a long history of its own behind a common system prompt, they speak in rotation, a few at a
 * time. What counts is how soon an answer begins when it is an agent's turn again.
 */
import { assertWhole, firstTokenMs, type Message, type StreamResult, stream } from './support/client.js'
import { chosen, octavoCommand, octavoKnows, peerCommand, readOptions } from './support/options.js'
import { main, Report } from './support/report.js'
import { against, column, rounds } from './support/rounds.js'
import type { Server } from './support/server.js'
import { median, percentile, sum } from './support/statistics.js'
import { fixed, mebibytes, milliseconds, percent, ratio, table } from './support/table.js'
import { readTiers, type Source, type TierFigures, withCacheFolder } from './support/tiers.js'
import { learnTokenRate } from './support/tokens.js'

interface Turn {
  agent: number
  /** From 0. */
  turn: number
  firstTokenMs: number
  promptTokens: number
  cachedTokens: number
  /** How many of the prompt's tokens the server has seen before at the same place. */
  knownTokens: number
  /** Only Octavo tells. */
  source: Source | null
}

interface Run {
  ms: number
  turns: Turn[]
  /** When the last turn had ended; likewise. */
  tiers: TierFigures | null
}

await main(async () => {
  const options = readOptions('Agents with long histories that speak in rotation', {
    agents: { default: '12', help: 'agents' },
    turns: { default: '6', help: 'turns of each' },
    'at-once': { default: '4', help: 'requests at a time' },
    shared: { default: '600', help: 'words of the common system prompt' },
    own: { default: '600', help: 'words of an agent’s first message' },
    words: { default: '40', help: 'words of its later messages' },
    tokens: { default: '48', help: 'tokens of an answer' }
  })
  const [agents, turns, tokens] = [
    options.number('agents'),
    options.number('turns'),
    options.number('tokens')
  ]

  const onDisk = octavoKnows(options, '--cache-dir')
  const { commands, report, samples } = await withCacheFolder(async folder => {
    const commands = chosen(options, [
      octavoCommand(options, 'octavo', onDisk ? ['--cache-dir', folder] : []),
      peerCommand(options, 'llama-server default'),
      peerCommand(options, 'llama-server -np 16 -kvu', ['-np', '16', '-kvu'])
    ])
    const report = new Report('agents', options, commands)
    return { commands, report, samples: await rounds(report, commands, options.runs, run) }
  })

  async function run(server: Server, key: string): Promise<Run> {
    const prompts = options.prompts.with(key)
    const rate = await learnTokenRate(server)
    const system: Message = { role: 'system', content: prompts.text('shared', options.number('shared')) }
    const sharedTokens = Math.floor(options.number('shared') * rate.perWord)
    const histories = Array.from({ length: agents }, (): Message[] => [system])
    const last: Array<StreamResult | undefined> = []
    const done: Turn[] = []

    async function speak(agent: number, turn: number): Promise<void> {
      const history = histories[agent]!
      const words = options.number(turn === 0 ? 'own' : 'words')
      history.push({
        role: 'user',
        content: `${prompts.text(`agent ${agent}, turn ${turn}`, words)}. Tell me a long story about this.`
      })
      const result = await stream(server, { messages: history, tokens })
      assertWhole([result], tokens, server.name)
      history.push({ role: 'assistant', content: result.text })
      const before = last[agent]
      const { promptTokens, cachedTokens } = result
      const known = before
        ? before.promptTokens + before.completionTokens
        : done.length === 0
          ? 0
          : sharedTokens
      const knownTokens = Math.min(known, promptTokens)
      done.push({
        ...{ agent, turn, promptTokens, cachedTokens, knownTokens },
        firstTokenMs: firstTokenMs(result),
        source: result.source ?? null
      })
      last[agent] = result
    }

    // In rotation: the next of the list starts as soon as one of those at work has ended, and its own last turn has.
    const queue = Array.from({ length: turns * agents }, (_, i) => ({
      agent: i % agents,
      turn: Math.floor(i / agents)
    }))
    const busy = Array.from({ length: agents }, () => Promise.resolve())
    const startedAt = performance.now()
    await Promise.all(
      Array.from({ length: options.number('at-once') }, async () => {
        for (let next = queue.shift(); next; next = queue.shift()) {
          const { agent, turn } = next
          busy[agent] = busy[agent]!.then(() => speak(agent, turn))
          await busy[agent]
        }
      })
    )
    return { ms: performance.now() - startedAt, turns: done, tiers: await readTiers(server) }
  }

  const base = commands[0]!.name
  const typical = (name: string, figure: (run: Run) => number) => median(column(samples, name, figure))
  const later = (q: number) => (run: Run) =>
    percentile(
      run.turns.filter(turn => turn.turn > 0).map(turn => turn.firstTokenMs),
      q
    )
  const total = (figure: Exclude<keyof Turn, 'source'>) => (run: Run) =>
    sum(run.turns.map(turn => turn[figure]))
  report.print(
    table(
      [
        `${agents} agents, ${turns} turns`,
        'time',
        `${base} / it`,
        'TTFT p50, turn 2 on',
        'p95',
        `p50, ${base} / it`,
        'prompt tokens',
        'cached',
        'of what could be'
      ],
      commands.map(({ name }) => {
        const prompt = typical(name, total('promptTokens'))
        const cached = typical(name, total('cachedTokens'))
        return [
          name,
          milliseconds(typical(name, run => run.ms)),
          name === base ? '' : ratio(against(samples, base, name, run => run.ms)),
          milliseconds(typical(name, later(0.5))),
          milliseconds(typical(name, later(0.95))),
          name === base ? '' : ratio(against(samples, base, name, later(0.5))),
          fixed(prompt),
          percent(cached / prompt),
          percent(typical(name, run => total('cachedTokens')(run) / total('knownTokens')(run)))
        ]
      })
    )
  )
  const octavo = commands.map(({ name }) => name).find(name => samples.get(name)?.some(one => one.tiers))
  if (octavo !== undefined) {
    const from = (tier: keyof Source) => (one: Run) => sum(one.turns.map(turn => turn.source?.[tier] ?? 0))
    const moved = (of: (tiers: TierFigures) => number | undefined) => (one: Run) =>
      (one.tiers && of(one.tiers)) ?? Number.NaN
    const share = (tier: keyof Source) =>
      percent(typical(octavo, from(tier)) / typical(octavo, total('promptTokens')))
    report.print(
      table(
        [
          `${octavo}: prompt tokens from`,
          'the pool',
          'RAM',
          'disk',
          'saved to RAM',
          'back from RAM',
          'written',
          'read'
        ],
        [
          [
            'share, bytes',
            share('resident'),
            share('ram'),
            share('disk'),
            mebibytes(
              typical(
                octavo,
                moved(({ ram }) => ram.spilled)
              )
            ),
            mebibytes(
              typical(
                octavo,
                moved(({ ram }) => ram.restored)
              )
            ),
            mebibytes(
              typical(
                octavo,
                moved(({ disk }) => disk?.spilled)
              )
            ),
            mebibytes(
              typical(
                octavo,
                moved(({ disk }) => disk?.restored)
              )
            )
          ]
        ]
      )
    )
  }
  report.save({ samples: Object.fromEntries(samples) })
})
