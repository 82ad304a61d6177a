import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type BackendOptions, loadBackend } from '../../src/llama/backend.js'
import {
  type DamagedKind,
  tinyModel,
  writeDamagedModel,
  writeTinyModel
} from '../support/gguf/tiny-models.js'
import { plainOptions, small, smallModel, temporaryFolder, tiny } from './support/backends.js'

const load = (model: string, options: Partial<BackendOptions> = {}) =>
  loadBackend({ ...plainOptions, model, ...options })
const refusal = (code: string, message: RegExp) => ({ name: 'BackendError', code, message })

t.test('tells what it loaded', async t => {
  const fractions: number[] = []
  const backend = await loadBackend({ ...plainOptions, model: smallModel }, fraction =>
    fractions.push(fraction)
  )
  t.teardown(() => backend.dispose())
  t.match(backend.info, {
    path: smallModel,
    name: 'MiniMind2-Small',
    architecture: 'llama',
    trainingContext: 32768,
    embeddingLength: 512,
    vocabularySize: 6400,
    bosText: '<|im_start|>',
    eosText: '<|im_end|>',
    addsBos: false,
    tokenizer: 'gpt2',
    device: 'CPU',
    libraryVersion: /^0\.5\.0/
  })
  t.match(backend.info.chatTemplate, /im_start/)
  t.ok(backend.info.parameters > 20e6)
  t.match(backend.info.fingerprint, /^[0-9a-f]{64}$/)
  const { smallDecodeMs: _, ...capabilities } = backend.capabilities
  t.same(capabilities, {
    layout: 'unified',
    sharesCells: true,
    joinsBlobs: true,
    memory: 'attention',
    window: 0,
    cells: 2048,
    cellsPerSequence: 2048,
    sequenceIds: 16,
    batchRows: 512,
    outputRows: 16,
    invariantRows: 63,
    bytesPerCell: 4096
  })
  t.ok(fractions.length > 1)
  t.equal(fractions.at(-1), 1)
  t.same(
    fractions,
    fractions.toSorted((a, b) => a - b)
  )
})

t.test('a sequence may use the pool, but not more than the model was trained on', async t => {
  const backend = await tiny(t, 'llama', { contextCells: 2000 }, { trainingContext: 1024 })
  t.equal(backend.capabilities.cells, 2048, 'padded by the library')
  t.equal(backend.capabilities.cellsPerSequence, 1024)
  const whole = await tiny(t, 'llama', { contextCells: 0 }, { trainingContext: 1024 })
  t.equal(whole.capabilities.cells, 1024)
})

t.test('a batch is never larger than the pool', async t => {
  const backend = await tiny(t, 'llama', { contextCells: 256, batchRows: 512 })
  t.equal(backend.batch.capacity, 256)
  t.equal(backend.capabilities.batchRows, 256)
})

t.test('all 256 sequence ids, and a single one', async t => {
  t.equal((await tiny(t, 'llama', { sequenceIds: 256, batchRows: 64 })).capabilities.sequenceIds, 256)
  t.equal((await tiny(t, 'llama', { sequenceIds: 1 })).capabilities.outputRows, 1)
})

t.test('files that hold no model are refused with one line', async t => {
  const folder = temporaryFolder(t)
  await t.rejects(
    load(path.join(folder, 'none.gguf')),
    refusal('load_failed', /^there is no file .*none\.gguf$/)
  )
  await t.rejects(load(folder), refusal('load_failed', /is not a file$/))
  const expected: Record<DamagedKind, RegExp> = {
    truncated: /is cut short \(\d+ bytes\)$/,
    'cut-header': /is damaged or cut short$/,
    'not-gguf': /is not a GGUF file$/,
    empty: /is empty$/,
    old: /has GGUF version 1/,
    'missing-tensor': /'blk\.3\.attn_norm\.weight' not found$/,
    'wrong-shape': /'blk\.0\.ffn_gate\.weight' has wrong shape/,
    'unknown-architecture': /unknown model architecture: 'octopus'$/
  }
  for (const [kind, message] of Object.entries(expected)) {
    const file = writeDamagedModel(kind as DamagedKind, path.join(folder, `${kind}.gguf`))
    const error = await load(file).then(
      () => t.fail(`${kind} was loaded`),
      reason => reason
    )
    t.match(error, refusal('load_failed', message), kind)
    t.notMatch(String(error.message), /\n/, 'one line')
  }
})

t.test('a file cut in its last tensor is refused', async t => {
  const file = path.join(temporaryFolder(t), 'cut.gguf')
  copyFileSync(smallModel, file)
  truncateSync(file, 31_000_000)
  await t.rejects(load(file), refusal('load_failed', /./))
})

t.test('a vocabulary without weights, and weights without a vocabulary', async t => {
  const folder = temporaryFolder(t)
  const words = writeTinyModel('vocabulary', path.join(folder, 'words.gguf'))
  await t.rejects(load(words), refusal('vocabulary_only', /vocabulary only/))
  const none = writeTinyModel('llama', path.join(folder, 'mute.gguf'), {
    metadata: { 'tokenizer.ggml.model': { type: 'string', value: 'none' } }
  })
  await t.rejects(load(none), refusal('load_failed', /has no vocabulary/))
})

t.test('a file that may not be read', { skip: process.getuid?.() === 0 && 'root reads all' }, async t => {
  const file = writeTinyModel('llama', path.join(temporaryFolder(t), 'secret.gguf'))
  chmodSync(file, 0)
  await t.rejects(load(file), refusal('load_failed', /may not be read$/))
})

t.test('a context that does not fit memory is refused before it is allocated', async t => {
  const file = writeTinyModel('llama', path.join(temporaryFolder(t), 'm.gguf'))
  const before = process.memoryUsage.rss()
  await t.rejects(
    load(file, { contextCells: 2 ** 31 - 512 }),
    refusal(
      'out_of_memory',
      /^a context of \d+ cells takes [\d.]+ GiB beside .*; [\d.]+ GiB of memory are available$/
    )
  )
  t.ok(process.memoryUsage.rss() - before < 200e6)
})

t.test('settings that do not go together are refused with the reason', async t => {
  const file = writeTinyModel('llama', path.join(temporaryFolder(t), 'm.gguf'))
  await t.rejects(
    load(file, { cacheTypeV: 'q8_0', flashAttention: 'off' }),
    refusal('context_failed', /quantized V cache requires flash_attn/)
  )
  await t.rejects(load(file, { cacheTypeK: 'q8_0' }), refusal('context_failed', /does not divide/))
  await t.rejects(load(file, { cacheTypeK: 'q9_9' }), refusal('context_failed', /unknown cache type q9_9/))
  await t.rejects(load(file, { sequenceIds: 257 }), refusal('context_failed', /sequenceIds/))
  await t.rejects(load(file, { threads: 0 }), refusal('context_failed', /threads/))
  await t.rejects(load(file, { batchRows: 0 }), refusal('context_failed', /batchRows/))
})

t.test('cache types and flash attention of all kinds decode', async t => {
  for (const options of [
    { cacheTypeK: 'f32', cacheTypeV: 'f32' },
    { cacheTypeK: 'bf16', cacheTypeV: 'bf16' },
    { cacheTypeK: 'q8_0', cacheTypeV: 'q8_0' },
    { cacheTypeK: 'q4_0', cacheTypeV: 'q4_0', flashAttention: 'on' as const },
    { flashAttention: 'off' as const }
  ]) {
    const backend = await small(t, options)
    backend.batch.add(50, 0, 0, true)
    t.equal(await backend.decode(), 'ok', JSON.stringify(options))
    t.equal(backend.usedCells(), 1)
  }
})

t.test('the fingerprint changes with what cells depend on, and with nothing else', async t => {
  const folder = temporaryFolder(t)
  const print = async (file: string, options: Partial<BackendOptions> = {}) => {
    const backend = await load(file, options)
    backend.dispose()
    return backend.info.fingerprint
  }
  const file = writeTinyModel('llama', path.join(folder, 'a.gguf'))
  const first = await print(file)
  t.equal(await print(writeTinyModel('llama', path.join(folder, 'copy.gguf'))), first)
  t.equal(await print(file, { contextCells: 4096, sequenceIds: 8, threads: 2 }), first)
  t.not(await print(file, { cacheTypeK: 'f32' }), first)
  t.not(await print(file, { cacheTypeV: 'f32' }), first)
  t.not(await print(file, { flashAttention: 'off' }), first)
  t.not(
    await print(writeTinyModel('llama', path.join(folder, 'b.gguf'), { seed: 2 })),
    first,
    'other weights'
  )
  const named = { metadata: { 'general.name': { type: 'string', value: 'Other' } } } as const
  t.not(await print(writeTinyModel('llama', path.join(folder, 'c.gguf'), named)), first, 'other metadata')
})

t.test('models come and go in one process', async t => {
  const file = writeTinyModel('llama', path.join(temporaryFolder(t), 'm.gguf'))
  const together = await Promise.all([load(file), load(file), load(file)])
  for (const backend of together) backend.dispose()
  for (let round = 0; round < 5; round++) (await load(file)).dispose()
})

t.test('a process of its own', async t => {
  const folder = temporaryFolder(t)
  const model = writeTinyModel('llama', path.join(folder, 'm.gguf'))

  t.test('is silent, or logs to stderr when asked, and ends by itself', async t => {
    const silent = run(model, {})
    t.equal(silent.status, 0)
    t.equal(silent.stderr, '')
    const loud = run(model, { log: 'stderr' })
    t.equal(loud.status, 0)
    t.match(loud.stderr, /llama_model_loader/)
    t.match(loud.stderr, /llama_context/)
  })

  t.test('damaged bytes anywhere in the header are survived', async t => {
    // One process for many files: an abort shows as its signal.
    const whole = tinyModel('llama', { vocabulary: 'spm' })
    const files: string[] = []
    for (let index = 0; index < 60; index++) {
      const bytes = Buffer.from(whole)
      const at = 8 + ((index * 7919) % 9000)
      bytes[at] = bytes[at]! ^ (1 << (index % 8))
      bytes[at + 1] = 0xff
      const file = path.join(folder, `damaged-${index}.gguf`)
      writeFileSync(file, bytes)
      files.push(file)
    }
    const result = run(files, {})
    t.equal(result.signal, null)
    t.equal(result.status, 0, result.stderr)
    t.equal(JSON.parse(result.stdout).length, files.length)
  })

  t.test('a folder without libraries is named', async t => {
    const result = run(model, {}, { OCTAVO_LLAMA_LIB: folder })
    t.match(JSON.parse(result.stdout), [
      { code: 'library_missing', message: /no llama\.cpp libraries in OCTAVO/ }
    ])
  })
})

/** Loads the models one after another in a child process; prints what each load came to. */
function run(models: string | string[], options: Partial<BackendOptions>, env: Record<string, string> = {}) {
  const program = fileURLToPath(new URL('./support/load-child.js', import.meta.url))
  const input = JSON.stringify({ models: [models].flat(), options: { ...plainOptions, ...options } })
  return spawnSync(process.execPath, [program, input], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: 60_000
  })
}
