/**
 * How models come and go: what listing a hundred of them takes, what loading and verifying one takes, how long a request
 * for a model that is not loaded waits, what a warm-up is worth, and what `kill -9` of the engine costs 16 streams.
 */
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import {
  assertWhole,
  fetchText,
  firstTokenMs,
  type Message,
  type StreamResult,
  stream
} from './support/client.js'
import { octavoCommand, readOptions } from './support/options.js'
import { memoryOfTree } from './support/processes.js'
import { main, Report } from './support/report.js'
import { type Server, withServer } from './support/server.js'
import { max, median, percentile } from './support/statistics.js'
import { fixed, milliseconds, ratio, table } from './support/table.js'
import { readTiers, withCacheFolder } from './support/tiers.js'

const options = readOptions(
  'Models: listing, loading, warming up, losing the engine',
  {
    models: { default: '100', help: 'models in the registry' },
    clients: { default: '20', help: 'clients that ask for as many models at once, with memory for three' },
    streams: { default: '16', help: 'streams under which the engine is killed' },
    prompt: { default: '400', help: 'words of the system prompt' }
  },
  { ctxSize: 16_384, runs: 5 }
)

await main(async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'octavo-bench-models-'))
  try {
    for (let i = 1; i < options.number('models'); i++) {
      symlinkSync(options.model, path.join(folder, `m${i}.gguf`))
    }
    const many = ['--models-dir', folder, '--cache-ram', '64']
    const commands = [
      octavoCommand(options, 'many models', many),
      octavoCommand(options, 'one model', ['--alias', 'm'])
    ] as const
    const report = new Report('models', options, [...commands])
    const listing = await withServer(commands[0], measureListing)
    report.print(
      table(
        [`${options.number('models')} models`, 'first', 'median', 'p99'],
        listing.map(({ route, times }) => [
          route,
          milliseconds(times[0]!),
          milliseconds(median(times)),
          milliseconds(percentile(times, 0.99))
        ])
      )
    )
    const tight = octavoCommand(options, 'memory for three', [
      ...many,
      '--memory-budget',
      String(Math.ceil(listing[0]!.bytes * 3.5))
    ])
    const crowd = await withServer(tight, measureCrowd)
    report.print(
      table(
        ['one request each, all at once', 'answered', 'loads', 'first', 'median', 'last'],
        [
          [
            `${crowd.times.length} models, memory for three`,
            fixed(crowd.answered),
            fixed(crowd.loads),
            milliseconds(Math.min(...crowd.times)),
            milliseconds(median(crowd.times)),
            milliseconds(max(crowd.times))
          ]
        ]
      )
    )
    const loads = await withServer(commands[1], measureLoads)
    report.print(
      table(
        ['one load', 'median', 'longest'],
        [
          ['loaded and verified', milliseconds(median(loads.load)), milliseconds(max(loads.load))],
          ['of which the token that proves it', milliseconds(loads.verify), '-'],
          [
            'first token for a request that waits for it',
            milliseconds(median(loads.first)),
            milliseconds(max(loads.first))
          ],
          [
            'too long a prompt: the 400, nothing loaded',
            milliseconds(median(loads.refused)),
            milliseconds(max(loads.refused))
          ]
        ]
      )
    )
    const warm = await withServer(commands[1], measureWarmUp)
    report.print(
      table(
        [`TTFT, ${warm.tokens} tokens`, 'cold', 'after warm-up', 'hot', 'warm / hot'],
        [
          [
            'system prompt and a question',
            milliseconds(median(warm.cold)),
            milliseconds(median(warm.warm)),
            milliseconds(median(warm.hot)),
            ratio(median(warm.warm) / median(warm.hot))
          ]
        ]
      )
    )
    const kills: Kill[] = []
    for (let round = 1; round <= options.runs; round++) {
      kills.push(await withCacheFolder(cache => measureKill(cache, round)))
      report.progress(`kill -9, round ${round} of ${options.runs}`)
    }
    report.print(
      table(
        [`kill -9 under ${options.number('streams')} streams`, 'median', 'longest'],
        [
          ['last stream has its error event', ...spread(kills.map(kill => kill.lastErrorMs))],
          ['the next request is answered', ...spread(kills.map(kill => kill.nextMs))],
          [
            'of its prompt from disk, tokens',
            ...(kills.length ? [fixed(median(kills.map(kill => kill.fromDisk))), '-'] : [])
          ],
          ['streams without an error event', fixed(max(kills.map(kill => kill.silent))), '-']
        ]
      )
    )
    report.save({ listing, crowd, loads, warm, kills })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

function spread(values: number[]): [string, string] {
  return [milliseconds(median(values)), milliseconds(max(values))]
}

async function measureListing(server: Server) {
  const bytes = await memoryOf(server)
  const results: Array<{ route: string; bytes: number; times: number[] }> = []
  for (const route of ['/v1/models', '/admin/models', '/health']) {
    const times: number[] = []
    for (let i = 0; i < 200; i++) {
      const began = performance.now()
      const { status } = await fetchText(server, route)
      times.push(performance.now() - began)
      if (status !== 200) throw new Error(`${route}: ${status}`)
    }
    results.push({ route: `GET ${route}`, bytes, times })
  }
  return results
}

async function measureCrowd(server: Server) {
  const times: number[] = []
  const asking = Array.from({ length: options.number('clients') }, async (_, i) => {
    const began = performance.now()
    const reply = await post(server, '/v1/chat/completions', {
      model: `m${i + 1}`,
      messages: [{ role: 'user', content: 'Hello' }],
      max_tokens: 4
    })
    times.push(performance.now() - began)
    return reply.status === 200
  })
  const answered = (await Promise.all(asking)).filter(Boolean).length
  const metrics = (await fetchText(server, '/metrics')).body
  return { times, answered, loads: metric(metrics, /model_loads_total\{[^}]*success[^}]*\} (\S+)/g) }
}

async function measureLoads(server: Server) {
  const load: number[] = []
  const first: number[] = []
  const refused: number[] = []
  const unload = () => post(server, '/admin/models/unload', { model: 'm' })
  const tooLong = {
    messages: [{ role: 'user', content: options.prompts.text('long', options.ctxSize) }],
    stream: true
  }
  for (let round = 0; round < options.runs; round++) {
    await unload()
    load.push((await post(server, '/admin/models/load', { model: 'm' })).json.load_ms as number)
    await unload()
    first.push(firstTokenMs(await ask(server, [user(`Hello ${round}`)])))
    await unload()
    const began = performance.now()
    const { status } = await post(server, '/v1/chat/completions', tooLong)
    refused.push(performance.now() - began)
    if (status !== 400) throw new Error(`a prompt that is too long: ${status}`)
  }
  const metrics = (await fetchText(server, '/metrics')).body
  const seconds = metric(metrics, /model_verification_seconds_sum(?:\{[^}]*\})? (\S+)/g)
  const count = metric(metrics, /model_verification_seconds_count(?:\{[^}]*\})? (\S+)/g)
  return { load, first, refused, verify: (seconds / count) * 1000 }
}

async function measureWarmUp(server: Server) {
  const cold: number[] = []
  const warm: number[] = []
  const hot: number[] = []
  let tokens = 0
  for (let round = 0; round < options.runs * 2; round++) {
    const system = (key: string): Message => ({
      role: 'system',
      content: options.prompts.text(`${key} ${round}`, options.number('prompt'))
    })
    const one = await ask(server, [system('cold'), user('What is it?')])
    cold.push(firstTokenMs(one))
    tokens = one.promptTokens
    const warmed = await post(server, '/v1/models/m/warmup', { messages: [system('warm')] })
    if (warmed.status !== 200) throw new Error(`warm-up: ${warmed.status}`)
    // Questions of one length, none of them asked before.
    warm.push(firstTokenMs(await ask(server, [system('warm'), user('What is it?')])))
    hot.push(firstTokenMs(await ask(server, [system('warm'), user('Who is it?')])))
  }
  return { cold, warm, hot, tokens }
}

interface Kill {
  lastErrorMs: number
  nextMs: number
  fromDisk: number
  silent: number
}

async function measureKill(cache: string, round: number): Promise<Kill> {
  const command = octavoCommand(options, 'killed', ['--cache-dir', cache, '--cache-disk', '500'])
  return withServer(command, async server => {
    const system: Message = {
      role: 'system',
      content: options.prompts.text(`kill ${round}`, options.number('prompt'))
    }
    await post(server, '/v1/models/default/warmup', { messages: [system] })
    await onDisk(server)
    const running = Array.from({ length: options.number('streams') }, (_, i) =>
      stream(server, { messages: [system, user(`Number ${i}`)], tokens: 1000 })
    )
    await new Promise(resolve => setTimeout(resolve, 2500))
    process.kill(await enginePid(server), 'SIGKILL')
    const killedAt = performance.now()
    const next = await ask(server, [system, user('And now?')])
    const ended = await Promise.all(running)
    assertWhole([next], 4, server.name)
    return {
      lastErrorMs: max(ended.map(result => result.endedAt - killedAt)),
      nextMs: next.endedAt - killedAt,
      fromDisk: next.source?.disk ?? 0,
      silent: ended.filter(result => !/engine_crashed/.test(result.error ?? '')).length
    }
  })
}

/** Waits until what has been computed is on disk: nothing more was written for a second. */
async function onDisk(server: Server): Promise<void> {
  let before = -1
  for (let i = 0; i < 30; i++) {
    await new Promise(resolve => setTimeout(resolve, 1000))
    // Statistics are published with steps.
    await ask(server, [user('Hello')])
    const written = (await readTiers(server))?.disk?.spilled ?? 0
    if (written > 0 && written === before) return
    before = written
  }
  throw new Error('nothing was written to disk')
}

/** Of the processes below the server, the one with the weights. */
async function enginePid(server: Server): Promise<number> {
  const [, ...children] = await memoryOfTree(server.pid)
  const engine = children.filter(isEngine).sort((a, b) => b.rss - a.rss)[0]
  if (engine === undefined) throw new Error('there is no engine process')
  return engine.pid
}

function isEngine({ pid }: { pid: number }): boolean {
  if (process.platform !== 'linux') return true
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('engine/main')
}

function ask(server: Server, messages: Message[]): Promise<StreamResult> {
  return stream(server, { messages, tokens: 4 })
}

function user(content: string): Message {
  return { role: 'user', content }
}

async function memoryOf(server: Server): Promise<number> {
  const { body } = await fetchText(server, '/admin/models')
  const { data } = JSON.parse(body) as { data: Array<{ memory: number | null }> }
  return max(data.map(model => model.memory ?? 0))
}

async function post(server: Server, route: string, body: unknown) {
  const reply = await fetch(`http://${server.host}:${server.port}${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
  return { status: reply.status, json: (await reply.json()) as Record<string, unknown> }
}

/** Sum of a metric's samples. */
function metric(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].reduce((sum, match) => sum + Number(match[1]), 0)
}
