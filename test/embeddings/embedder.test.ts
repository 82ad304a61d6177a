import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import t from 'tap'
import { SupervisedEmbedder } from '../../src/embeddings/supervisor.js'
import { EmbeddingRefusal } from '../../src/embeddings/types.js'
import { EngineGoneError, ModelUnavailableError } from '../../src/models/types.js'
import { packageRoot } from '../../src/root.js'
import { rejects } from '../support/rejects.js'
import { writeRerankModel } from './rerank-model.js'

const file = path.join(packageRoot(), 'models', 'all-MiniLM-L6-v2-q8_0.gguf')
const logger = pino({ level: 'silent' })
const options = { id: 'mini', file, threads: 1, gpu: false, logger }
const patient = new AbortController().signal

/** What llama-server of the same llama.cpp version gives for `Hello world` (normalised, first four values). */
const helloWorld = [-0.03540077, 0.03250744, 0.00663572, 0.03066128]

t.test('the model that ships', async t => {
  const embedder = new SupervisedEmbedder(options)
  t.teardown(() => embedder.close({ timeoutMs: 0 }))
  t.match(embedder.info, { dimensions: 384, context: 512, vocabularySize: 30522, kind: 'embedding' })
  t.equal(embedder.state, 'unloaded')

  await t.test('vectors of length 1, the same as llama-server gives', async t => {
    const { vectors, tokens } = await embedder.embed(['Hello world', 'Something else'], patient)
    t.equal(tokens, 8, 'with [CLS] and [SEP]')
    t.equal(embedder.state, 'ready')
    for (const vector of vectors) {
      t.equal(vector.length, 384)
      t.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5)
    }
    helloWorld.forEach((value, index) => {
      t.ok(Math.abs((vectors[0]?.[index] ?? 0) - value) < 2e-3, `${vectors[0]?.[index]} for ${value}`)
    })
  })

  await t.test('tokens are as good as their text, and do not depend on what was before', async t => {
    const { vectors } = await embedder.embed([[7592, 2088], 'Hello world', [101, 7592, 2088, 102]], patient)
    t.strictSame(vectors[0], vectors[1])
    t.strictSame(vectors[2], vectors[1], 'special tokens are not doubled')
  })

  await t.test('similar texts are nearer than others', async t => {
    const { vectors } = await embedder.embed(
      ['A cat sits on the mat.', 'A kitten rests on a rug.', 'The stock market fell sharply today.'],
      patient
    )
    const dot = (a: number, b: number) =>
      vectors[a]!.reduce((sum, value, index) => sum + value * vectors[b]![index]!, 0)
    t.ok(dot(0, 1) > 0.5 && dot(0, 1) > dot(0, 2) + 0.3, `${dot(0, 1)} and ${dot(0, 2)}`)
  })

  await t.test('as long as the model was trained for, and one more', async t => {
    const long = (words: number) => 'hello '.repeat(words)
    t.equal((await embedder.embed([long(510)], patient)).tokens, 512)
    const refusal = await rejects(t, embedder.embed(['x', long(511)], patient), EmbeddingRefusal)
    t.strictSame(refusal.reason, { kind: 'tooLong', index: 1, tokens: 513, limit: 512 })
  })

  await t.test('tokens outside the vocabulary', async t => {
    for (const token of [30522, -1, 2 ** 31]) {
      const refusal = await rejects(t, embedder.embed([[5, token]], patient), EmbeddingRefusal)
      t.match(refusal.reason, { kind: 'invalid', index: 0 })
    }
    t.equal(embedder.state, 'ready')
  })

  await t.test('whoever goes away is not worked for, and others take turns', async t => {
    const gone = new AbortController()
    let manyDone = false
    const many = embedder
      .embed(
        Array.from({ length: 500 }, (_, index) => `text number ${index} `.repeat(20)),
        gone.signal
      )
      .finally(() => {
        manyDone = true
      })
    many.catch(() => {})
    await embedder.embed(['short'], patient)
    t.notOk(manyDone, 'did not wait for the 500')
    gone.abort(new Error('gone'))
    await t.rejects(many, { message: 'gone' })
    await embedder.embed(['short'], patient)
    await t.rejects(embedder.embed(['x'], AbortSignal.abort(new Error('before'))), { message: 'before' })
  })

  await t.test('a process that is killed fails its requests and is started again', async t => {
    const { pid } = embedder
    const pending = embedder.embed(
      Array.from({ length: 500 }, () => 'x '.repeat(300)),
      patient
    )
    await setTimeout(50)
    process.kill(pid!, 'SIGKILL')
    await rejects(t, pending, EngineGoneError)
    t.equal((await embedder.embed(['again'], patient)).vectors.length, 1)
    t.not(embedder.pid, pid)
  })

  await t.test('closed', async t => {
    const last = embedder.embed(['the last one'], patient)
    await embedder.close({ timeoutMs: 5000 })
    t.equal((await last).vectors.length, 1, 'what was under way was finished')
    await rejects(t, embedder.embed(['x'], patient), ModelUnavailableError)
    t.equal(embedder.pid, undefined)
  })
})

t.test('a reranking model', async t => {
  const ranker = writeRerankModel(file, path.join(t.testdir(), 'ranker.gguf'))
  const embedder = new SupervisedEmbedder({ ...options, file: ranker })
  t.teardown(() => embedder.close({ timeoutMs: 0 }))
  t.equal(embedder.info.kind, 'rerank')
  const documents = ['The giant panda is a bear.', 'hi', 'It is a bear.']
  const { scores, tokens } = await embedder.rank('What is a panda?', documents, patient)
  t.ok(
    scores.every(score => score > 0 && score < 1),
    scores.join()
  )
  t.equal(new Set(scores).size, 3, 'each its own')
  t.ok(tokens > 30)
  const again = await embedder.rank('What is a panda?', [documents[2]!, documents[0]!], patient)
  t.strictSame(again.scores, [scores[2], scores[0]], 'whatever stands beside it')
  const long = embedder.rank('What?', ['x', 'bear '.repeat(600)], patient)
  t.match((await rejects(t, long, EmbeddingRefusal)).reason, { kind: 'tooLong', index: 1, limit: 512 })
  await t.rejects(embedder.embed(['x'], patient), 'no vectors')
  t.equal((await embedder.rank('q', ['d'], patient)).scores.length, 1)
})

t.test('too many requests at once', async t => {
  const embedder = new SupervisedEmbedder({ ...options, maxRequests: 1 })
  t.teardown(() => embedder.close({ timeoutMs: 0 }))
  const first = embedder.embed(['a'], patient)
  const refusal = await rejects(t, embedder.embed(['b'], patient), EmbeddingRefusal)
  t.match(refusal.reason, { kind: 'full' })
  await first
  await embedder.embed(['b'], patient)
})

t.test('a model that cannot be loaded is an error each time, with pauses', async t => {
  const broken = path.join(t.testdir({ 'broken.gguf': '' }), 'broken.gguf')
  const { readFileSync } = await import('node:fs')
  writeFileSync(broken, readFileSync(file).subarray(0, 4_000_000))
  const embedder = new SupervisedEmbedder({ ...options, file: broken })
  t.teardown(() => embedder.close({ timeoutMs: 0 }))
  const first = await rejects(t, embedder.embed(['a'], patient), ModelUnavailableError)
  t.equal(first.retryAfterMs, null)
  t.equal(embedder.state === 'ready', false)
})

t.test('a process that keeps ending is not started without pause', async t => {
  const entry = fileURLToPath(new URL('./ends-at-once.js', import.meta.url))
  const embedder = new SupervisedEmbedder({ ...options, entry })
  t.teardown(() => embedder.close({ timeoutMs: 0 }))
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await rejects(t, embedder.embed(['a'], patient), ModelUnavailableError)
    await setTimeout(20)
  }
  const paused = await rejects(t, embedder.embed(['a'], patient), ModelUnavailableError)
  t.ok((paused.retryAfterMs ?? 0) > 0, 'told when to come again')
})

t.test('a model that generates text is none', async t => {
  const chat = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')
  t.throws(() => new SupervisedEmbedder({ ...options, file: chat }), { message: /not an embedding model/ })
})
