/**
 * One model put in the place of another while 8 streams run: beside each other, and with memory for one. None may be
 * lost. New requests for the name are sent all the while, to see how long the slowest of them waits for its first
 * token beyond what that takes on a quiet server.
 */
import { assertWhole, firstTokenMs, stream } from './support/client.js'
import { octavoCommand, readOptions } from './support/options.js'
import { main, Report } from './support/report.js'
import { type Server, withServer } from './support/server.js'
import { median } from './support/statistics.js'
import { fixed, milliseconds, table } from './support/table.js'

interface Run {
  lost: number
  swapMs: number
  heldMs: number
  /** Slowest first token among the requests sent during the swap, less that of a quiet server. */
  slowestMs: number
}

await main(async () => {
  const options = readOptions(
    'Hot swap under running streams',
    {
      streams: { default: '8', help: 'streams that run when the swap begins' },
      tokens: { default: '200', help: 'tokens of each stream' }
    },
    { ctxSize: 8192, runs: 3 }
  )
  const entry = (...alias: string[]) => ({ model: options.model, alias })
  const models = ['--models', JSON.stringify([entry('new')]), '--alias', 'old,chat']
  const beside = octavoCommand(options, 'beside', models)
  const bytes = await withServer(beside, async server => {
    const list = await getJson(server, '/admin/models')
    return Math.max(...list.data.map(model => model.memory ?? 0))
  })
  const budget = String(Math.ceil(bytes * 1.5))
  const inTurn = octavoCommand(options, 'memory for one', [...models, '--memory-budget', budget])
  const commands = [beside, inTurn]
  const report = new Report('swap', options, commands)
  const samples = new Map(commands.map(command => [command.name, [] as Run[]]))
  for (let round = 1; round <= options.runs; round++) {
    for (const command of commands) {
      samples.get(command.name)!.push(await withServer(command, swapUnderLoad))
      report.progress(`round ${round} of ${options.runs}, ${command.name}`)
    }
  }

  async function swapUnderLoad(server: Server): Promise<Run> {
    const count = options.number('streams')
    const tokens = options.number('tokens')
    const ask = (text: string, most: number) =>
      stream(server, { messages: [{ role: 'user', content: text }], tokens: most })
    const quiet = await ask('quiet', 1)
    const running = Array.from({ length: count }, (_, i) => ask(`stream ${i}`, tokens))
    await new Promise(resolve => setTimeout(resolve, 300))
    let over = false
    const waits: number[] = []
    const probing = (async () => {
      while (!over) {
        waits.push(firstTokenMs(await ask(`probe ${waits.length}`, 1)))
      }
    })()
    const swapped = await swap(server)
    over = true
    await probing
    const results = await Promise.all(running)
    const whole = results.filter(result => result.done && result.completionTokens === tokens)
    assertWhole(whole, tokens, server.name)
    return {
      lost: results.length - whole.length,
      swapMs: swapped.total_ms,
      heldMs: swapped.held_ms,
      slowestMs: Math.max(0, Math.max(...waits) - firstTokenMs(quiet))
    }
  }

  const typical = (name: string, figure: (run: Run) => number) => median(samples.get(name)!.map(figure))
  report.print(
    table(
      ['swap', 'streams lost', 'whole swap', 'new requests held back', 'slowest new request'],
      commands.map(({ name }) => [
        name,
        fixed(Math.max(...samples.get(name)!.map(run => run.lost))),
        milliseconds(typical(name, run => run.swapMs)),
        milliseconds(typical(name, run => run.heldMs)),
        milliseconds(typical(name, run => run.slowestMs))
      ])
    )
  )
  report.save({ samples: Object.fromEntries(samples) })
})

async function swap(server: Server): Promise<{ total_ms: number; held_ms: number }> {
  const reply = await fetch(`http://${server.host}:${server.port}/admin/models/swap`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ from: 'old', to: 'new' })
  })
  if (reply.status !== 200) throw new Error(`the swap failed: ${await reply.text()}`)
  return (await reply.json()) as { total_ms: number; held_ms: number }
}

async function getJson(
  server: Server,
  path: string
): Promise<{ data: Array<{ id: string; memory: number | null }> }> {
  const reply = await fetch(`http://${server.host}:${server.port}${path}`)
  return (await reply.json()) as { data: Array<{ id: string; memory: number | null }> }
}
