/**
 * An engine process without a model. What it does wrong is written in the model's path: `/fake?load=crash&events=3`.
 *
 * - `load`: `ok`, `slow` (progress for 200 ms), `crash`, `failed` (with `code`), `hang`, `mute` (ends without a word)
 * - `verify`: `ok`, `crash`, `refuse`, `empty`: what happens to the first request, which is the supervisor's
 * - `run`: `ok`, `crash` (after `events` events), `hang` (no events), `stuck` (starts and never gets on), `frozen`
 *   (its event loop stands still), `slow` (an event every `ms`), `leave`
 *   (cuts the channel and lives on), `flood` (`events` text events in each answer)
 * - `end`: `ok`, `never` (answers neither drain nor shutdown)
 * - `good`: from the n-th start on, counted in `counter` (a file), everything is in order
 */
import { appendFileSync, readFileSync } from 'node:fs'
import type {
  EngineConfig,
  FromEngine,
  GenerationRequest,
  RequestEvent,
  ToEngine
} from '../../src/engine/messages.js'
import { modelInfo, poolStats } from './messages.js'

const config = JSON.parse(process.env.OCTAVO_ENGINE_CONFIG ?? '{}') as EngineConfig
const wanted = new URLSearchParams(config.model.split('?')[1])
const inOrder = countStart() >= Number(wanted.get('good') ?? Number.POSITIVE_INFINITY)
const events = Number(wanted.get('events') ?? 3)
const running = new Set<number>()
let requests = 0
let sent = 0
let left = false

process.on('disconnect', () => {
  if (!left) process.exit(0)
})
process.on('message', message => receive(message as ToEngine))
void load()

function behaviour(stage: string): string {
  return inOrder ? 'ok' : (wanted.get(stage) ?? 'ok')
}

function countStart(): number {
  const counter = wanted.get('counter')
  if (counter === null) return 0
  appendFileSync(counter, 'x')
  return readFileSync(counter).length
}

function send(message: FromEngine): void {
  process.send?.(message)
}

function crash(): never {
  process.kill(process.pid, 'SIGKILL')
  for (;;);
}

async function load(): Promise<void> {
  process.stdout.write('fake engine: hello\n')
  const kind = behaviour('load')
  if (kind === 'mute') process.exit(7)
  send({ type: 'progress', fraction: 0.5 })
  if (kind === 'hang') return
  if (kind === 'slow') {
    for (let i = 1; i <= 10; i++) {
      await new Promise(resolve => setTimeout(resolve, 20))
      send({ type: 'progress', fraction: 0.5 + i / 20 })
    }
  }
  if (kind === 'crash') {
    process.stderr.write('first line\nGGML_ASSERT(false) failed\n', () => crash())
    return
  }
  if (kind === 'failed') {
    const failure = { code: wanted.get('code') ?? 'load_failed', message: 'the file is damaged' }
    process.send?.({ type: 'loadFailed', failure }, () => process.exit(1))
    return
  }
  const { info, capabilities } = modelInfo(config.model)
  send({ type: 'ready', info, capabilities, config: { ...config, contextCells: 4096 } })
}

function receive(message: ToEngine): void {
  switch (message.type) {
    case 'submit':
      running.add(message.id)
      if (requests++ === 0) verify(message.id)
      else run(message.id, message.request)
      break
    case 'cancel':
      running.delete(message.id)
      break
    case 'pause':
    case 'resume':
      // Said back as text, so that a test sees that it arrived.
      emit(text(message.id, message.type))
      break
    case 'call':
      answer(message)
      break
  }
}

function verify(id: number): void {
  const kind = behaviour('verify')
  if (kind === 'crash') crash()
  if (kind === 'refuse') {
    emit({ type: 'verdict', id, verdict: { kind: 'invalid', param: 'prompt', message: 'no vocabulary' } })
  } else {
    emit(...answerOf(id, 1, kind === 'empty' ? 0 : 1))
  }
}

function run(id: number, request: GenerationRequest): void {
  const kind = behaviour('run')
  if (kind === 'hang') return
  if (kind === 'frozen') for (;;);
  if (kind === 'stuck') {
    emit(...answerOf(id, 0, 0).slice(0, 2))
    return
  }
  if (kind === 'slow') {
    const all = answerOf(id, 3, 3)
    const timer = setInterval(
      () => {
        const next = all.shift()
        if (next === undefined || !running.has(id)) clearInterval(timer)
        if (next !== undefined) emit(next)
      },
      Number(wanted.get('ms') ?? 30)
    )
    return
  }
  if (kind === 'leave') {
    left = true
    setInterval(() => {}, 1000)
    process.disconnect()
    return
  }
  // `keep` leaves a request running.
  if (request.tenant === 'keep') {
    emit({ type: 'verdict', id, verdict: { kind: 'admitted', promptTokens: 1 } })
  } else if (kind === 'flood') {
    for (const event of answerOf(id, events, events)) emit(event)
  } else {
    emit(...answerOf(id, 3, 3))
  }
}

function answerOf(id: number, texts: number, tokens: number): RequestEvent[] {
  const cached = { resident: 0, ram: 0, disk: 0 }
  return [
    { type: 'verdict', id, verdict: { kind: 'admitted', promptTokens: 1 } },
    { type: 'started', id, cached },
    ...Array.from({ length: texts }, (_, i) => text(id, `${i} `)),
    { type: 'finish', id, choice: 0, reason: 'length', stop: null },
    {
      type: 'end',
      id,
      usage: { promptTokens: 1, completionTokens: tokens, cached },
      timings: { queueMs: 0, prefillMs: 0, firstTokenMs: 0, totalMs: 0 }
    }
  ]
}

function text(id: number, said: string): RequestEvent {
  return { type: 'text', id, choice: 0, text: said, tokens: 1 }
}

function emit(...batch: RequestEvent[]): void {
  const crashes = behaviour('run') === 'crash' && requests > 1
  const room = crashes ? Math.max(0, events - sent) : batch.length
  for (const event of batch) if (event.type === 'end') running.delete(event.id)
  if (crashes) sent += Math.min(room, batch.length)
  send({ type: 'events', events: batch.slice(0, room) })
  if (crashes && room < batch.length) crash()
}

function answer({ call, method, params }: Extract<ToEngine, { type: 'call' }>): void {
  if (behaviour('end') === 'never' && (method === 'drain' || method === 'shutdown')) return
  switch (method) {
    case 'stats':
      send({ type: 'stats', stats: poolStats(running.size) })
      send({ type: 'reply', call, ok: true, result: poolStats(running.size) })
      break
    case 'tokenize':
      send({ type: 'reply', call, ok: true, result: [...(params as { text: string }).text].map((_, i) => i) })
      break
    case 'drain': {
      const aborted = running.size
      for (const id of running)
        emit({ type: 'failed', id, code: 'draining', message: 'drained', usage: null })
      running.clear()
      send({
        type: 'reply',
        call,
        ok: true,
        result: { finished: requests - aborted, aborted, spilledBytes: 10 }
      })
      break
    }
    case 'shutdown':
      process.send?.({ type: 'reply', call, ok: true, result: null }, () => process.exit(0))
      break
    default:
      send({ type: 'reply', call, ok: false, message: `no such call: ${method}` })
  }
}
