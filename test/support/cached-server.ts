/** Real servers that keep prefixes on disk, and requests with a long prefix. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { ChatCompletion } from '../../src/protocol/openai/chat-answer.js'
import type { PrefixSource } from '../../src/protocol/prefix-source.js'
import { type Octavo, octavo, type Start } from '../cli/octavo.js'

type Test = Parameters<typeof octavo>[0]

/** An empty cache folder of its own, removed when the test ends. */
export function cacheFolder(test: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-cache-'))
  test.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface CachedServer extends Octavo {
  address: string
  /** The record of the log that says that it is ready. */
  ready: { cache: { ram: number; disk: { pieces: number; folder: string; used: number } | null } | null }
  /** Ends it as an operator does. */
  end(): Promise<void>
}

export async function startCached(
  test: Test,
  folder: string,
  env: NodeJS.ProcessEnv = {},
  start: Start = {}
): Promise<CachedServer> {
  const settings = { OCTAVO_CACHE_DISK: '100', OCTAVO_CACHE_RAM: '200', OCTAVO_EMBEDDING_MODEL: 'none' }
  const args = ['serve', '--port', '0', '--cache-dir', folder]
  const server = octavo(test, args, { ...settings, ...env }, start)
  const ready = JSON.parse(await server.line(/"msg":"ready"/))
  return {
    ...server,
    ready,
    address: ready.address,
    async end() {
      server.child.kill('SIGTERM')
      const [code, signal] = await server.ended
      if (code !== 0) throw new Error(`ended with ${code ?? signal}: ${server.stdout()}${server.stderr()}`)
    }
  }
}

export interface Asked {
  /** Of the first token and its two rivals: a function of every cell of the prompt. */
  logprobs: number[]
  promptTokens: number
  cached: number
  source: PrefixSource
  /** `x-octavo-cache`. */
  header: string | null
}

/** Some 700 tokens that begin otherwise for every topic. */
export function history(topic: string): string {
  return Array.from({ length: 75 }, (_, i) => `${topic} number ${i} is told here`).join(' ')
}

export async function ask(
  { address }: CachedServer,
  topic: string,
  { key = '', body = {} }: { key?: string; body?: object } = {}
): Promise<Asked> {
  const reply = await fetch(`${address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}) },
    body: JSON.stringify({
      messages: [
        { role: 'system', content: history(topic) },
        { role: 'user', content: 'Go on.' }
      ],
      max_tokens: 12,
      ignore_eos: true,
      temperature: 0,
      logprobs: true,
      top_logprobs: 3,
      ...body
    })
  })
  const answer = (await reply.json()) as ChatCompletion
  const { usage } = answer
  if (reply.status !== 200 || !usage) throw new Error(JSON.stringify(answer))
  return {
    logprobs: (answer.choices[0]?.logprobs?.content[0]?.top_logprobs ?? []).map(top => top.logprob),
    promptTokens: usage.prompt_tokens,
    cached: usage.prompt_tokens_details.cached_tokens,
    source: usage.octavo_cache,
    header: reply.headers.get('x-octavo-cache')
  }
}

/** Paths of the pieces below a cache folder. */
export function pieceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.kv'))
    .map(file => path.join(folder, file))
    .sort()
}

/** Waits until a server has written so many pieces, some seconds at most. Returns how many there are. */
export async function writtenPieces(folder: string, count: number): Promise<number> {
  for (let tries = 0; pieceFiles(folder).length < count && tries < 200; tries++) await setTimeout(50)
  return pieceFiles(folder).length
}

/** What `/health` says of the tiers. */
export interface CacheHealth {
  ram: { used: number; cap: number; pieces: number }
  disk: { used: number; cap: number; pieces: number; faults: Record<string, number>; paused: boolean }
}

export async function cacheHealth({ address }: CachedServer): Promise<CacheHealth> {
  const reply = await fetch(`${address}/health`)
  const { models } = (await reply.json()) as { models: Array<{ cache: CacheHealth }> }
  return models[0]!.cache
}

/** How the template begins any conversation, which topics have in common: this many tokens at most. */
export const COMMON = 8
