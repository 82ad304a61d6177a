/**
 * What a long prompt does to others: to a stream that is running when it arrives, and to a short request that comes
 * just behind it.
 */
import {
  type Endpoint,
  firstTokenMs,
  flaw,
  type Message,
  type StreamResult,
  stream
} from './support/client.js'
import { chosen, octavoCommand, peerCommand, readOptions } from './support/options.js'
import type { Prompts } from './support/prompts.js'
import { main, Report } from './support/report.js'
import { against, column, rounds } from './support/rounds.js'
import { gaps, max, median, percentile } from './support/statistics.js'
import { milliseconds, ratio, table } from './support/table.js'
import { learnTokenRate, wordsFor } from './support/tokens.js'

/** After this the model writes plain English: every token is text that can be seen, so that gaps are those of tokens. */
const RUNNING: Message[] = [
  { role: 'user', content: `${'The quick brown fox jumps over the lazy dog. '.repeat(4)}The quick brown fox` }
]

interface Run {
  /** Longest and 99th percentile gap of the stream, alone and while the long prompt is taken in, milliseconds. */
  quietMax: number
  quietP99: number
  longest: number
  p99: number
  p50: number
  /** Tokens that the stream got meanwhile. */
  meanwhile: number
  /** The long prompt's time to its first token, alone and beside the stream. */
  longAlone: number
  longBeside: number
  longTokens: number
  /** The other scene: a short request behind a long prompt, and that prompt's own time to its first token. */
  shortBehind: number
  longWithShort: number
}

await main(async () => {
  const options = readOptions('A running stream, and a short request, beside a long prompt', {
    long: { default: '7400', help: 'tokens of the long prompt' },
    'long-first': { default: '8000', help: 'tokens of the prompt that a short request follows' },
    short: { default: '50', help: 'tokens of the short request' },
    quiet: { default: '2', help: 'seconds the stream runs alone first' }
  })
  const commands = chosen(options, [
    octavoCommand(options),
    peerCommand(options, 'llama-server default'),
    peerCommand(options, 'llama-server -np 16 -kvu', ['-np', '16', '-kvu'])
  ])
  const report = new Report('starve', options, commands)

  const samples = await rounds(report, commands, options.runs, async (server, key): Promise<Run> => {
    const prompts = options.prompts.with(key)
    const rate = await learnTokenRate(server)
    const long = (name: string, flag: 'long' | 'long-first') =>
      user(prompts, name, wordsFor(options.number(flag), rate))

    const alone = whole(await stream(server, { messages: long('alone', 'long'), tokens: 4 }), server.name)
    const scene = await besideStream(server, RUNNING, long('beside', 'long'), {
      quietMs: options.number('quiet') * 1000,
      tokens: Math.floor(options.ctxSize / 2)
    })
    const first = stream(server, { messages: long('first', 'long-first'), tokens: 4 })
    await sleep(50)
    const shortWords = wordsFor(options.number('short'), rate)
    const short = stream(server, { messages: user(prompts, 'short', shortWords), tokens: 4 })
    return {
      ...scene,
      longAlone: firstTokenMs(alone),
      shortBehind: firstTokenMs(whole(await short, server.name)),
      longWithShort: firstTokenMs(whole(await first, server.name))
    }
  })

  const base = commands[0]!.name
  const typical = (name: string, figure: (run: Run) => number) =>
    milliseconds(median(column(samples, name, figure)))
  report.print(
    table(
      [
        `a stream beside a prompt of ${median(column(samples, base, run => run.longTokens))} tokens`,
        'alone: p99 gap',
        'longest',
        'meanwhile: p50 gap',
        'p99',
        'longest',
        `longest, ${base} / it`,
        'long TTFT alone',
        'beside',
        'beside / alone'
      ],
      commands.map(({ name }) => [
        name,
        typical(name, run => run.quietP99),
        typical(name, run => run.quietMax),
        typical(name, run => run.p50),
        typical(name, run => run.p99),
        typical(name, run => run.longest),
        name === base ? '' : ratio(against(samples, base, name, run => run.longest)),
        typical(name, run => run.longAlone),
        typical(name, run => run.longBeside),
        ratio(median(column(samples, name, run => run.longBeside / run.longAlone)))
      ])
    )
  )
  report.print(
    table(
      [
        `${options.own.short} tokens behind ${options.own['long-first']}`,
        'short TTFT',
        'long TTFT',
        'short / long',
        `short, ${base} / it`
      ],
      commands.map(({ name }) => [
        name,
        typical(name, run => run.shortBehind),
        typical(name, run => run.longWithShort),
        ratio(median(column(samples, name, run => run.shortBehind / run.longWithShort))),
        name === base ? '' : ratio(against(samples, base, name, run => run.shortBehind))
      ])
    )
  )
  report.save({ samples: Object.fromEntries(samples) })
})

/** One stream decodes; after `quietMs` the long prompt arrives; when that has its answer the stream is cut off. */
async function besideStream(
  server: Endpoint & { name: string },
  running: Message[],
  long: Message[],
  { quietMs, tokens }: { quietMs: number; tokens: number }
) {
  const hangUp = new AbortController()
  const arrivals: number[] = []
  const decoding = stream(server, {
    messages: running,
    tokens,
    signal: hangUp.signal,
    onContent: () => {
      arrivals.push(performance.now())
      return false
    }
  })
  await sleep(quietMs)
  const arrived = performance.now()
  const result = whole(await stream(server, { messages: long, tokens: 4 }), server.name)
  hangUp.abort()
  const stopped = await decoding
  // A character of several tokens arrives with the last of them.
  if (!/^[\x20-\x7e\s]*$/.test(stopped.text))
    throw new Error(`${server.name}: the stream wrote more than plain letters`)
  if (!stopped.aborted)
    throw new Error(`${server.name}: the stream ended too soon: ${stopped.error ?? 'all its tokens'}`)
  const firstToken = arrived + firstTokenMs(result)
  const quiet = gaps(arrivals.filter(time => time < arrived))
  // A gap belongs to the prompt when it ends after the arrival and begins before the first token.
  const during = arrivals.filter((_, i) => {
    const [before, after] = [arrivals[i - 1] ?? 0, arrivals[i + 1] ?? Number.POSITIVE_INFINITY]
    return after > arrived && before < firstToken
  })
  const beside = gaps(during)
  if (quiet.length < 10) throw new Error(`${server.name}: the stream had hardly begun`)
  return {
    quietMax: max(quiet),
    quietP99: percentile(quiet, 0.99),
    longest: max(beside),
    p99: percentile(beside, 0.99),
    p50: percentile(beside, 0.5),
    meanwhile: arrivals.filter(time => time > arrived && time < firstToken).length,
    longBeside: firstTokenMs(result),
    longTokens: result.promptTokens
  }
}

function user(prompts: Prompts, key: string, words: number): Message[] {
  return [{ role: 'user', content: prompts.text(key, words) }]
}

function whole(result: StreamResult, who: string): StreamResult {
  const wrong = flaw(result, 4)
  if (wrong !== null) throw new Error(`${who}: ${wrong}`)
  return result
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
