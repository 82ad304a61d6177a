/**
 * What a constraint costs running streams: the same prompts and as many tokens, free, with a strict JSON schema, and as
 * a forced tool call, in turns on one server. What compiling costs is shown apart.
 */

import { assertWhole, firstTokenMs, type StreamResult, stream } from './support/client.js'
import { type ConstraintCase, constraintCases, freeCase } from './support/constraint-cases.js'
import { constraintCost } from './support/constraint-cost.js'
import { decodeSeconds } from './support/decode-time.js'
import { octavoCommand, readOptions } from './support/options.js'
import { processorMsOfTree } from './support/processes.js'
import { main, Report } from './support/report.js'
import { against, column, type Samples } from './support/rounds.js'
import { type Server, withServer } from './support/server.js'
import { median, percentile, sum } from './support/statistics.js'
import { fixed, milliseconds, percent, table } from './support/table.js'
import { assertSameWork } from './support/tokens.js'

interface Wave {
  /** Tokens of all streams per second from their first token to their end, by the engine's clock. */
  decoding: number
  /** Tokens per second of wall time, prompts and everything else included. */
  whole: number
  firstTextMs: number
  /** Processor time of server and engine per token, milliseconds. */
  processorMs: number
  promptTokens: number
}

await main(async () => {
  const options = readOptions('Decode speed with and without constraints', {
    streams: { default: '8', help: 'streams at the same time' },
    words: { default: '30', help: 'words of a prompt, beside the tools' },
    tokens: { default: '128', help: 'tokens of an answer' },
    temperature: { default: '0', help: 'of all requests' },
    steps: { default: '150', help: 'decodes of a turn without HTTP; 0: leave that part out' }
  })
  const streams = options.number('streams')
  const tokens = options.number('tokens')
  const temperature = options.number('temperature')
  const command = octavoCommand(options, 'octavo', ['--parallel', String(streams)])
  const report = new Report('constrained', options, [command])
  const { only } = options
  const constrained = constraintCases.filter(
    ({ name }) => only.length === 0 || only.some(part => name.includes(part))
  )
  const cases = [freeCase, ...constrained]
  const samples: Samples<Wave> = new Map(cases.map(({ name }) => [name, []]))
  /** Milliseconds of a grammar's first request and of its second, two tokens each, prompts cached. */
  const starts = new Map<string, { first: number; again: number }>()

  await withServer(command, async server => {
    await wave(server, freeCase)
    for (const one of constrained) {
      const first = await elapsed(() => ask(server, one, 0, 2))
      starts.set(one.name, { first, again: await elapsed(() => ask(server, one, 0, 2)) })
    }
    for (let round = 0; round <= options.runs; round++) {
      // Both orders: whoever comes first meets another machine than who comes last.
      for (const one of round % 2 === 1 ? cases : cases.toReversed()) {
        const sample = await wave(server, one)
        if (round > 0) samples.get(one.name)!.push(sample)
      }
      report.progress(round === 0 ? 'warm' : `round ${round} of ${options.runs}`)
    }
  })
  assertSameWork(new Map(cases.map(({ name }) => [name, samples.get(name)![0]!.promptTokens])))

  const figure = (name: string, of: (one: Wave) => number) => median(column(samples, name, of))
  const share = (name: string, of: (one: Wave) => number) =>
    name === freeCase.name ? '' : percent(against(samples, name, freeCase.name, of))
  const stepMs = (one: Wave) => (streams * 1000) / one.decoding
  const addedPerToken = (name: string) => {
    const plain = column(samples, freeCase.name, stepMs)
    return median(column(samples, name, stepMs).map((ms, round) => (ms - plain[round]!) / streams))
  }
  report.print(
    table(
      [
        `${streams} streams`,
        'tokens/s decoding',
        'of free',
        'tokens/s whole',
        'of free',
        'a step',
        'added per token',
        'processor/token',
        'of free',
        'first text'
      ],
      cases.map(({ name }) => [
        name,
        fixed(
          figure(name, one => one.decoding),
          1
        ),
        share(name, one => one.decoding),
        fixed(
          figure(name, one => one.whole),
          1
        ),
        share(name, one => one.whole),
        milliseconds(figure(name, stepMs)),
        name === freeCase.name ? '' : milliseconds(addedPerToken(name)),
        milliseconds(figure(name, one => one.processorMs)),
        share(name, one => one.processorMs),
        milliseconds(figure(name, one => one.firstTextMs))
      ])
    )
  )
  report.print(
    table(
      ['two tokens, prompt cached', 'first request', 'second'],
      [...starts].map(([name, { first, again }]) => [name, milliseconds(first), milliseconds(again)])
    )
  )

  const steps = options.number('steps')
  const { model, threads } = options
  const loop =
    steps > 0 ? await constraintCost({ model, threads, streams, steps, turns: options.runs }) : null
  if (loop) {
    const points = [0.5, 0.95, 0.99]
    const row = (name: string, times: number[]) => [
      name,
      ...points.map(q => milliseconds(percentile(times, q))),
      milliseconds(sum(times) / times.length)
    ]
    report.print(
      table(
        ['without HTTP', ...points.map(q => `p${q * 100}`), 'mean'],
        [
          row('mask and accept, per token', loop.perToken),
          row('  of it the mask that was there', loop.apply),
          row('message to the thread, per step', loop.message),
          row('decode, constrained', loop.decodeConstrained),
          row('decode, free', loop.decodeFree)
        ]
      )
    )
    report.print(`Masks that came late: ${loop.late} of ${loop.perToken.length}`)
  }
  report.save({ samples: Object.fromEntries(samples), starts: Object.fromEntries(starts), loop })

  async function ask(
    server: Server,
    one: ConstraintCase,
    index: number,
    count: number
  ): Promise<StreamResult> {
    const content = options.prompts.text(String(index), options.number('words'))
    const result = await stream(server, {
      messages: [{ role: 'user', content }],
      tokens: count,
      temperature,
      // A seed without a temperature asks for reproducible text, which shares no prefix.
      body: temperature > 0 ? { ...one.body, seed: index } : one.body
    })
    if (result.status !== 200 || result.error !== null) {
      throw new Error(`${one.name}: status ${result.status}: ${result.error ?? ''}`)
    }
    return result
  }

  async function wave(server: Server, one: ConstraintCase): Promise<Wave> {
    const before = await decodeSeconds(server)
    const processor = await processorMsOfTree(server.pid)
    let results: StreamResult[] = []
    const ms = await elapsed(async () => {
      results = await Promise.all(
        Array.from({ length: streams }, (_, index) => ask(server, one, index, tokens))
      )
    })
    const processorMs = (await processorMsOfTree(server.pid)) - processor
    const after = await decodeSeconds(server)
    assertWhole(results, tokens, one.name)
    for (const { text } of results) {
      if (!one.begins.test(text))
        throw new Error(`${one.name}: this is not constrained: ${text.slice(0, 80)}`)
    }
    if (after.count - before.count !== streams) throw new Error('somebody else uses the server')
    const seconds = (after.seconds - before.seconds) / streams
    return {
      decoding: (streams * (tokens - 1)) / seconds,
      whole: (streams * tokens * 1000) / ms,
      firstTextMs: median(results.map(firstTokenMs)),
      processorMs: processorMs / (streams * tokens),
      promptTokens: sum(results.map(result => result.promptTokens))
    }
  }
})

async function elapsed(action: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await action()
  return performance.now() - startedAt
}
