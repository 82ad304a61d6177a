/**
 * Replays a slice of a real trace of a chat service: arrival times, lengths of prompts and answers, and which 512-token
 * blocks of a prompt were the same as in earlier ones. Lengths are divided by `--scale` and the rate is set, so that a
 * small model on a laptop can follow.
 *
 * The format is that of the Mooncake traces (https://github.com/kvcache-ai/Mooncake, FAST25-release): one JSON object a
 * line with timestamp (ms), input_length and output_length (tokens) and hash_ids (one per block of 512 tokens).
 */
import { readFileSync } from 'node:fs'
import { flaw, type Message, type StreamResult, stream } from './support/client.js'
import { sleep } from './support/load.js'
import { chosen, octavoCommand, peerCommand, readOptions } from './support/options.js'
import { main, Report } from './support/report.js'
import { against, column, rounds } from './support/rounds.js'
import { median, percentile, sum } from './support/statistics.js'
import { fixed, milliseconds, percent, ratio, table } from './support/table.js'
import { refusalWaitMs } from './support/tally.js'
import { learnTokenRate, type TokenRate } from './support/tokens.js'
import { parseTrace, replayPlan, tracePrompt } from './support/trace-format.js'

interface Served {
  /** From the planned arrival, waiting as told after refusals included; milliseconds. */
  firstTokenMs: number
  promptTokens: number
  cachedTokens: number
  completionTokens: number
  refusals: number
  /** Null: whole. */
  flaw: string | null
}

interface Run {
  seconds: number
  served: Served[]
}

await main(async () => {
  const options = readOptions(
    'A slice of a real trace, scaled down',
    {
      trace: { default: '', help: 'the trace, a file of JSON lines; required' },
      skip: { default: '0', help: 'requests of the trace to skip' },
      requests: { default: '150', help: 'requests to replay' },
      scale: { default: '16', help: 'divides lengths: blocks of 512 tokens become 512 / scale' },
      rate: { default: '1', help: 'requests per second on average' },
      slo: {
        default: '2000',
        help: 'an answer is good when its first token came within so many milliseconds'
      },
      retries: { default: '5', help: 'how often a refused client comes back, after the time it was told' }
    },
    { runs: 3 }
  )
  if (options.own.trace === '') throw new Error('--trace FILE is needed')
  const plan = replayPlan(parseTrace(readFileSync(options.own.trace, 'utf8')), {
    skip: options.number('skip'),
    requests: options.number('requests'),
    scale: options.number('scale'),
    rate: options.number('rate')
  })
  if (plan.length === 0) throw new Error('the trace has no such requests')
  const commands = chosen(options, [
    octavoCommand(options),
    peerCommand(options, 'llama-server default'),
    peerCommand(options, 'llama-server -np 16 -kvu', ['-np', '16', '-kvu'])
  ])
  const report = new Report('trace', options, commands)

  const samples = await rounds(report, commands, options.runs, async (server, key): Promise<Run> => {
    const prompts = options.prompts.with(key)
    const rate: TokenRate = await learnTokenRate(server)
    const startedAt = performance.now()
    const served = await Promise.all(
      plan.map(async (request): Promise<Served> => {
        const messages: Message[] = [{ role: 'user', content: tracePrompt(request, prompts, rate.perWord) }]
        await sleep(startedAt + request.atMs - performance.now())
        const arrived = performance.now()
        let result = await stream(server, { messages, tokens: request.outputTokens })
        let refusals = 0
        for (
          let wait = refusalWaitMs(result);
          wait !== null && refusals < options.number('retries');
          refusals++
        ) {
          await sleep(wait)
          result = await stream(server, { messages, tokens: request.outputTokens })
          wait = refusalWaitMs(result)
        }
        return { ...figures(result, request.outputTokens, arrived), refusals }
      })
    )
    return { seconds: (performance.now() - startedAt) / 1000, served }
  })

  const slo = options.number('slo')
  const base = commands[0]!.name
  const typical = (name: string, figure: (run: Run) => number) => median(column(samples, name, figure))
  const good = (run: Run) => run.served.filter(one => one.flaw === null && one.firstTokenMs <= slo).length
  const firstToken = (q: number) => (run: Run) =>
    percentile(
      run.served.filter(one => one.flaw === null).map(one => one.firstTokenMs),
      q
    )
  const hitRate = ({ served }: Run) =>
    sum(served.map(one => one.cachedTokens)) / sum(served.map(one => one.promptTokens))
  report.print(
    table(
      [
        `${plan.length} requests, ${fixed(sum(plan.map(one => one.inputTokens)))} prompt tokens`,
        'TTFT p50',
        'p95',
        `p50, ${base} / it`,
        'hit rate',
        `good per s (TTFT <= ${slo} ms)`,
        'good',
        'refusals',
        'not answered',
        'time'
      ],
      commands.map(({ name }) => [
        name,
        milliseconds(typical(name, firstToken(0.5))),
        milliseconds(typical(name, firstToken(0.95))),
        name === base ? '' : ratio(against(samples, base, name, firstToken(0.5))),
        percent(typical(name, hitRate)),
        fixed(
          typical(name, run => good(run) / run.seconds),
          2
        ),
        percent(typical(name, run => good(run) / run.served.length)),
        fixed(typical(name, run => sum(run.served.map(one => one.refusals)))),
        fixed(typical(name, run => run.served.filter(one => one.flaw !== null).length)),
        `${fixed(typical(name, run => run.seconds))} s`
      ])
    )
  )
  report.save({ plan, samples: Object.fromEntries(samples) })
  const broken = [...samples].flatMap(([name, runs]) =>
    runs.flatMap(run =>
      run.served.filter(one => one.flaw?.startsWith('broken')).map(one => `${name}: ${one.flaw}`)
    )
  )
  if (broken.length > 0)
    throw new Error(`${broken.length} broken answers:\n- ${broken.slice(0, 10).join('\n- ')}`)
})

function figures(result: StreamResult, tokens: number, arrived: number): Omit<Served, 'refusals'> {
  const { promptTokens, cachedTokens, completionTokens } = result
  const wrong = flaw(result, tokens)
  const refused = refusalWaitMs(result) !== null
  return {
    firstTokenMs: (result.arrivals[0] ?? Number.NaN) - arrived,
    promptTokens,
    cachedTokens,
    completionTokens,
    flaw: refused ? 'refused' : wrong === null ? null : `broken: ${wrong}`
  }
}
