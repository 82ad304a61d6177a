/** A server in this process over real engine processes, with the embedded model or tiny ones of random weights. */
import path from 'node:path'
import { pino } from 'pino'
import type { Test } from 'tap'
import type { EngineConfig } from '../../src/engine/messages.js'
import type { HostedModel } from '../../src/models/hosted-model.js'
import {
  createModels,
  type ModelOptions,
  type ModelRegistry,
  type ModelsOptions
} from '../../src/models/registry.js'
import { packageRoot } from '../../src/root.js'
import { startServer } from '../../src/server/server.js'
import { alive, until } from '../models/helpers.js'
import { defaultOptions } from '../server/helper.js'
import { writeTinyModel } from '../support/gguf/tiny-models.js'

export { alive, until } from '../models/helpers.js'

export const embedded = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')

export interface Serving {
  url: string
  models: ModelRegistry
  model: HostedModel
  /** Every engine process there ever was. */
  pids: Set<number>
  /** What was logged, as records. */
  log: Array<Record<string, unknown>>
  /** The engines' own comparison of their accounting with the library's: true when all agree. */
  sound(): Promise<boolean>
}

export interface ModelHere extends Partial<ModelOptions> {
  id: string
  /** Bytes that the memory plan counts for it. */
  bytes?: number
  engine?: Partial<EngineConfig>
}

/** @param entries the embedded model where no file is named */
export async function serve(
  t: Test,
  entries: ModelHere[] = [{ id: 'm' }],
  more: Partial<ModelsOptions> = {},
  options: Partial<typeof defaultOptions> = {}
): Promise<Serving> {
  const log: Array<Record<string, unknown>> = []
  const logger = pino({ level: 'info' }, { write: line => log.push(JSON.parse(line)) })
  const models = createModels({
    models: entries.map(({ bytes = 100, engine, ...entry }) => {
      const file = entry.file ?? embedded
      return { file, plan: () => ({ config: engineConfig(file, engine), bytes }), ...entry }
    }),
    logger,
    ...more,
    bounds: { exitMs: 1000, ...more.bounds },
    times: { ttlMs: 0, onDemandTtlMs: 0, ...more.times }
  })
  const pids = new Set<number>()
  const note = () => {
    for (const { pid } of models.list()) if (pid !== undefined) pids.add(pid)
  }
  models.events.on('state', note)
  models.events.on('progress', note)
  const { app, address } = await startServer({
    models,
    registry: models,
    config: { ...defaultOptions, ...options },
    logger,
    port: 0
  })
  const sound = async () => {
    const ready = models.list().filter(model => model.isReady)
    const checks = await Promise.all(ready.map(async model => (await model.engine()).call('check', null)))
    return checks.every(differences => differences.length === 0)
  }
  t.teardown(async () => {
    await until('no request is left', () => models.list().every(model => model.active === 0))
    if (!(await sound())) throw new Error('the accounting of a pool differs from the library')
    await models.drain({ timeoutMs: 0 })
    await app.close()
    if ([...pids].some(alive)) throw new Error('an engine process is left')
  })
  return {
    url: address,
    models,
    model: models.list()[0]!,
    pids,
    log,
    sound
  }
}

export function engineConfig(model: string, more: Partial<EngineConfig> = {}): EngineConfig {
  return {
    model,
    contextCells: 4096,
    parallel: 16,
    batchRows: 256,
    threads: 1,
    gpuLayers: 0,
    cacheTypeK: 'f16',
    cacheTypeV: 'f16',
    flashAttention: 'auto',
    blockSize: 64,
    maxQueue: 64,
    maxQueuedTokens: null,
    reproducible: false,
    checkEveryStep: false,
    ...more
  }
}

/** A file of a few hundred kilobytes that loads in a moment. */
export function tiny(t: Test, name: string, seed = 1): string {
  return writeTinyModel('llama', path.join(t.testdir({}), `${name}.gguf`), { seed })
}

/** Tokens that an answer of `long` has. */
export const longAnswer = 400

export function chat(text: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    messages: [{ role: 'user', content: text }],
    max_tokens: 4,
    temperature: 0,
    ignore_eos: true,
    ...more
  }
}

/** A prompt that takes a while to compute: about 1500 tokens. */
export const longText = Array.from({ length: 500 }, (_, i) => `word${i}`).join(' ')

export function post(
  { url }: Pick<Serving, 'url'>,
  body: unknown,
  more: { headers?: Record<string, string>; path?: string; signal?: AbortSignal; method?: string } = {}
): Promise<Response> {
  return fetch(`${url}${more.path ?? '/v1/chat/completions'}`, {
    method: more.method ?? 'POST',
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...more.headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: more.signal
  })
}

/** Status and JSON of a whole answer. */
export async function ask(
  serving: Pick<Serving, 'url'>,
  body: unknown,
  more: Parameters<typeof post>[2] = {}
): Promise<{ status: number; headers: Headers; json: Answer }> {
  const reply = await post(serving, body, more)
  return { status: reply.status, headers: reply.headers, json: (await reply.json()) as Answer }
}

interface Answer {
  model?: string
  usage?: {
    prompt_tokens: number
    completion_tokens: number
    prompt_tokens_details?: { cached_tokens: number }
  }
  error?: { code: string; message: string; rolled_back?: boolean }
  [more: string]: unknown
}

/** A stream as it comes in. */
export interface Reading {
  status: number
  text(): string
  /** How many text chunks have come. */
  chunks(): number
  /** How it ended. */
  end: Promise<'done' | 'error' | 'cut'>
  /** When it ended, on the clock of `performance.now`. */
  endedAt(): number
}

export async function stream(
  serving: Pick<Serving, 'url'>,
  body: Record<string, unknown>,
  headers: Record<string, string> = {}
): Promise<Reading> {
  const reply = await post(serving, { ...body, stream: true }, { headers })
  let text = ''
  let endedAt = 0
  const read = async () => {
    try {
      const decoder = new TextDecoder()
      for await (const bytes of reply.body!) text += decoder.decode(bytes as Uint8Array, { stream: true })
    } catch {
      return 'cut' as const
    } finally {
      endedAt = performance.now()
    }
    if (text.endsWith('data: [DONE]\n\n')) return 'done' as const
    return text.includes('data: {"error":') ? ('error' as const) : ('cut' as const)
  }
  return {
    status: reply.status,
    text: () => text,
    chunks: () => text.split('"delta":{"content"').length - 1,
    end: read(),
    endedAt: () => endedAt
  }
}

/** A stream that is in the middle of its answer. */
export async function flowing(serving: Serving, name: string, more: object = {}): Promise<Reading> {
  const reading = await stream(serving, chat(`Tell me about ${name}`, { max_tokens: longAnswer, ...more }))
  await until('text flows', () => reading.chunks() > 3)
  return reading
}

export function killEngine({ model }: Pick<Serving, 'model'>, signal: NodeJS.Signals = 'SIGKILL'): number {
  const { pid } = model
  if (pid === undefined) throw new Error('there is no engine')
  process.kill(pid, signal)
  return pid
}
