/**
 * Overload. Clients ramp up, then requests arrive at ten times the rate that the server can serve, then autocannon
 * hammers without waiting for anybody. A server that is honest keeps its goodput, refuses the rest at once, and is
 * where it was when it is over.
 */
import { setMaxListeners } from 'node:events'
import autocannon from 'autocannon'
import { assertWhole, chatBody, type StreamResult, stream } from './support/client.js'
import { bareFastify } from './support/health.js'
import { closedLoop, openLoop, sleep } from './support/load.js'
import { chosen, octavoCommand, peerCommand, readOptions } from './support/options.js'
import { readPool } from './support/pool.js'
import { type ProbeResult, startProbe } from './support/probe.js'
import { main, Report } from './support/report.js'
import { type Server, startServer, withServer } from './support/server.js'
import { sum } from './support/statistics.js'
import { fixed, mebibytes, milliseconds, percent, ratio, table } from './support/table.js'
import { Tally, type TallySummary } from './support/tally.js'

/** Clients of a step begin within this time. */
const rampMs = 2000

interface Phase extends TallySummary {
  name: string
  seconds: number
  health: ProbeResult
  bare: ProbeResult
}

await main(async () => {
  const options = readOptions('Overload: ramp, ten times saturation, a hammer, and what is left afterwards', {
    clients: { default: '10,25,50,100,200', help: 'clients of the ramp' },
    step: { default: '10', help: 'seconds per step of the ramp' },
    seconds: { default: '60', help: 'seconds of saturation' },
    times: { default: '10', help: 'saturation: how many times the peak rate' },
    words: { default: '60', help: 'words of a prompt' },
    tokens: { default: '32', help: 'tokens of an answer' },
    grace: { default: '60', help: 'seconds after a phase in which accepted answers must end' }
  })
  const commands = chosen(options, [
    // What grows is not to be hidden by a tier that is being filled.
    octavoCommand(options, 'octavo', ['--cache-ram', '32']),
    peerCommand(options, 'llama-server default')
  ])
  const report = new Report('stress', options, commands)
  const tokens = options.number('tokens')
  const message = (key: string) => [
    { role: 'user' as const, content: options.prompts.text(key, options.number('words')) }
  ]
  const data: unknown[] = []
  const failures: string[] = []

  for (const command of commands) {
    const bare = await startServer(bareFastify)
    try {
      await withServer(command, server => overload(server, bare))
    } finally {
      await bare.stop()
    }
  }
  report.save(data)
  if (failures.length > 0) throw new Error(`not as it should be:\n- ${failures.join('\n- ')}`)

  async function overload(server: Server, bare: Server): Promise<void> {
    await phase(server, bare, 'warm', 5, (ask, until) =>
      closedLoop(16, until, (client, i) => ask(`w${client}/${i}`))
    )
    const memoryBefore = sum((await server.memory()).map(one => one.rss))
    const phases: Phase[] = []
    for (const clients of options.own.clients.split(',').map(Number)) {
      phases.push(
        await phase(server, bare, `${clients} clients`, options.number('step'), (ask, until) =>
          closedLoop(clients, until, (client, i) => ask(`${clients}/${client}/${i}`), rampMs)
        )
      )
    }
    const peak = Math.max(...phases.map(one => one.goodput))
    const rate = (options.number('times') * peak) / tokens
    const saturation = await phase(
      server,
      bare,
      `${fixed(rate)} requests/s`,
      options.number('seconds'),
      (ask, until) => openLoop(rate, until, i => ask(`open/${i}`))
    )
    const hammer = await autocannon({
      url: `http://${server.host}:${server.port}/v1/chat/completions`,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: chatBody({ messages: message('hammer'), tokens }, false),
      connections: 200,
      duration: options.number('step'),
      timeout: options.number('grace')
    })
    await sleep(2000)
    const pool = await readPool(server)
    const memoryAfter = sum((await server.memory()).map(one => one.rss))
    assertWhole([await stream(server, { messages: message('last'), tokens })], tokens, server.name)

    const all = [...phases, saturation]
    report.print(
      table(
        [
          server.name,
          'tokens/s',
          'whole',
          '429',
          'broken',
          'TTFT p50',
          'TTFT p99',
          '429 p50',
          '429 p99',
          '/health p99',
          'bare p99'
        ],
        all.map(one => [
          one.name,
          fixed(one.goodput),
          fixed(one.whole),
          fixed(one.refused),
          fixed(one.broken + one.left),
          milliseconds(one.firstToken.p50),
          milliseconds(one.firstToken.p99),
          milliseconds(one.refusal.p50),
          milliseconds(one.refusal.p99),
          milliseconds(one.health.p99),
          milliseconds(one.bare.p99)
        ])
      )
    )
    const codes = Object.entries(hammer.statusCodeStats ?? {}).map(
      ([code, { count }]) => `${count} x ${code}`
    )
    report.print(
      [
        `Goodput at saturation: ${percent(saturation.goodput / peak)} of the peak.`,
        `autocannon, 200 connections: ${codes.join(', ')}; ${hammer.errors} errors, of them ${hammer.timeouts} timeouts.`,
        `Memory: ${mebibytes(memoryBefore)} before, ${mebibytes(memoryAfter)} after (${ratio(memoryAfter / memoryBefore)}).`,
        `Pool: ${pool === null ? 'the server does not tell' : `${pool.used} of ${pool.cells} cells in use or cached`}.`
      ].join('\n')
    )
    for (const one of all) {
      const bad = one.broken + one.left
      if (bad > 0)
        failures.push(`${server.name}, ${one.name}: ${bad} broken: ${one.flaws.join('; ') || 'unfinished'}`)
    }
    const other = Object.keys(hammer.statusCodeStats ?? {}).filter(code => code !== '200' && code !== '429')
    if (other.length > 0 || hammer.errors > 0)
      failures.push(`${server.name}, autocannon: ${codes} ${hammer.errors} errors`)
    data.push({ server: server.name, phases: all, peak, hammer, memoryBefore, memoryAfter, pool })
  }

  /** Runs one kind of load for some seconds; then all accepted answers get the grace time to end. */
  async function phase(
    server: Server,
    bare: Server,
    name: string,
    seconds: number,
    load: (ask: (key: string) => Promise<number>, until: number) => Promise<void>
  ): Promise<Phase> {
    const tally = new Tally()
    const giveUp = new AbortController()
    setMaxListeners(0, giveUp.signal)
    const from = performance.now()
    const until = from + seconds * 1000
    const timer = setTimeout(() => giveUp.abort(), (seconds + options.number('grace')) * 1000)
    const ask = async (key: string): Promise<number> => {
      const messages = message(`${server.name}/${name}/${key}`)
      const result: StreamResult = await stream(server, { messages, tokens, signal: giveUp.signal })
      const waitMs = tally.add(result, tokens)
      // A refusal that cannot be told how long to wait is tried again soon; other failures must not spin.
      return result.status === 200 ? 0 : Math.max(waitMs, 50)
    }
    const probe = startProbe(
      [
        { name: '/health', host: server.host, port: server.port, path: '/health' },
        { name: 'bare', host: bare.host, port: bare.port, path: '/health' }
      ],
      5
    )
    try {
      await load(ask, until)
    } finally {
      clearTimeout(timer)
    }
    const [health, plain] = await probe.stop()
    report.progress(`${server.name}, ${name}`)
    return { name, seconds, ...tally.summary(from, until), health: health!, bare: plain! }
  }
})
