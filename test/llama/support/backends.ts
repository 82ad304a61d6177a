/** Backends for the tests of the binding: the real small model, and tiny random ones. One thread, small contexts. */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import type { Backend, SamplerParams } from '../../../src/engine/backend.js'
import { type BackendOptions, loadBackend } from '../../../src/llama/backend.js'
import { packageRoot } from '../../../src/root.js'
import { type TinyModelKind, type TinyModelOptions, writeTinyModel } from '../../support/gguf/tiny-models.js'

export const smallModel = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')

export const plainOptions: Omit<BackendOptions, 'model'> = {
  contextCells: 2048,
  sequenceIds: 16,
  batchRows: 512,
  threads: 1,
  gpuLayers: 0,
  cacheTypeK: 'f16',
  cacheTypeV: 'f16',
  flashAttention: 'auto'
}

export const greedy: SamplerParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repeatPenalty: 1,
  repeatLastN: 64,
  frequencyPenalty: 0,
  presencePenalty: 0,
  seed: 1,
  logitBias: []
}

type Scope = Pick<Test, 'teardown'>

export function temporaryFolder(t: Scope): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'octavo-llama-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export async function small(t: Scope, options: Partial<BackendOptions> = {}): Promise<Backend> {
  const backend = await loadBackend({ ...plainOptions, model: smallModel, ...options })
  t.teardown(() => backend.dispose())
  return backend
}

export async function tiny(
  t: Scope,
  kind: TinyModelKind,
  options: Partial<BackendOptions> = {},
  model: TinyModelOptions = {}
): Promise<Backend> {
  const file = writeTinyModel(kind, path.join(temporaryFolder(t), `${kind}.gguf`), model)
  const backend = await loadBackend({ ...plainOptions, model: file, ...options })
  t.teardown(() => backend.dispose())
  return backend
}

/**
 * Computes tokens at positions from `start` on, in chunks.
 * @returns A copy of the logits after the last one.
 */
export async function feed(
  backend: Backend,
  sequence: number,
  tokens: ArrayLike<number>,
  start: number,
  chunk = backend.capabilities.batchRows
): Promise<Float32Array> {
  let row = -1
  for (let at = 0; at < tokens.length; at += chunk) {
    const end = Math.min(tokens.length, at + chunk)
    backend.batch.clear()
    for (let index = at; index < end; index++) {
      row = backend.batch.add(tokens[index]!, start + index, sequence, index === tokens.length - 1)
    }
    if ((await backend.decode()) !== 'ok') throw new Error('the pool is full')
  }
  return backend.logits(row).slice()
}

/** The most likely continuation, from the logits of the last token on. */
export async function continueGreedily(
  backend: Backend,
  sequence: number,
  logits: Float32Array,
  start: number,
  count: number
): Promise<number[]> {
  const tokens: number[] = []
  let current = logits
  for (let index = 0; index < count; index++) {
    const token = largest(current)
    tokens.push(token)
    current = await feed(backend, sequence, [token], start + index)
  }
  return tokens
}

export function largest(values: ArrayLike<number>): number {
  let best = 0
  for (let index = 1; index < values.length; index++) if (values[index]! > values[best]!) best = index
  return best
}

/** Deterministic tokens that are not special in any of the models. */
export function someTokens(count: number, vocabularySize: number, salt = 1): number[] {
  return Array.from(
    { length: count },
    (_, index) => 10 + ((index * 7919 + salt * 104729) % (vocabularySize - 20))
  )
}
