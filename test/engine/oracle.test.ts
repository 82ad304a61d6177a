/**
 * The engine's oracle on the real model (docs/design.md, "What the same text means"): bit-identical where shapes are
 * equal, within a stated bound where they are not.
 */
import path from 'node:path'
import t from 'tap'
import type { Backend } from '../../src/engine/backend.js'
import type { EngineConfig, GenerationRequest } from '../../src/engine/messages.js'
import { loadBackend } from '../../src/llama/backend.js'
import { packageRoot } from '../../src/root.js'
import { count } from '../support/counts.js'
import { cachedOf, EngineHarness, gapAtFirstDifference, type Outcome, request } from './harness.js'

const model = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')

/**
 * Teacher-forced logits of one context computed in any two shapes differ by less than this (the small model quantizes
 * activations to 8 bits, so a rounding difference is amplified; 0.83 was the most seen, docs/performance.md).
 */
const LOGIT_BOUND = 1.5

async function load(contextCells: number, cacheType = 'f16'): Promise<Backend> {
  return loadBackend({
    model,
    contextCells,
    sequenceIds: 256,
    batchRows: 512,
    threads: 1,
    gpuLayers: 0,
    cacheTypeK: cacheType,
    cacheTypeV: cacheType,
    flashAttention: 'auto'
  })
}

const topics = [
  'the sea',
  'a small dog',
  'rain in April',
  'old trains',
  'bread',
  'the moon',
  'a red house',
  'music'
]
const system = `You are a careful assistant. ${Array.from({ length: 60 }, (_, i) => `Rule ${i}: be ${['kind', 'brief', 'clear'][i % 3]}.`).join(' ')}`

function chat(user: string, systemText = system): string {
  return `<|im_start|>system\n${systemText}<|im_end|>\n<|im_start|>user\n${user}<|im_end|>\n<|im_start|>assistant\n`
}

function prompts(n: number): string[] {
  return Array.from({ length: n }, (_, i) =>
    chat(`Write ${i + 2} short sentences about ${topics[i % topics.length]}.`)
  )
}

function ask(text: string, overrides: Partial<GenerationRequest> = {}): GenerationRequest {
  return request(text, { maxTokens: 40, ...overrides })
}

async function withEngine<T>(
  backend: Backend,
  config: Partial<EngineConfig>,
  work: (harness: EngineHarness) => Promise<T>
): Promise<T> {
  const harness = await EngineHarness.start(backend, {
    batchRows: 512,
    parallel: 16,
    checkEveryStep: true,
    ...config
  })
  const result = await harness.guard(work(harness))
  await harness.guard(harness.engine.idle())
  harness.engine.scheduler.cache.clear()
  harness.engine.scheduler.graveyard.clear()
  t.equal(backend.usedCells(), 0, 'the pool is empty afterwards')
  await harness.stop()
  return result
}

const textOf = (outcome: Outcome) => outcome.text[0] ?? ''

t.test(
  'reproducible: alone, cold, cached, together, one of several choices, evicted: the same text',
  async t => {
    const backend = await load(count(4096, 8192))
    t.teardown(() => backend.dispose())
    const texts = prompts(count(8, 32))
    t.comment(`${texts.length} prompts`)
    const alone = await withEngine(backend, { reproducible: true }, async harness => {
      const answers: string[] = []
      for (const text of texts)
        answers.push(textOf(await harness.run(ask(text, { salt: `alone ${answers.length}` }))))
      return answers
    })
    await withEngine(backend, { reproducible: true }, async harness => {
      for (const [i, text] of texts.entries()) {
        const outcome = await harness.run(ask(text))
        t.equal(textOf(outcome), alone[i], `prompt ${i} after the others, with what they left`)
        if (i > 0) t.ok(cachedOf(outcome) > 200, 'the shared system prompt was attached')
      }
      for (const [i, text] of texts.entries()) {
        const outcome = await harness.run(ask(text))
        t.equal(textOf(outcome), alone[i], `prompt ${i} again`)
        t.ok(cachedOf(outcome) > 250)
      }
    })
    await withEngine(backend, { reproducible: true }, async harness => {
      const outcomes = await Promise.all(texts.map(text => harness.run(ask(text))))
      for (const [i, outcome] of outcomes.entries())
        t.equal(textOf(outcome), alone[i], `prompt ${i} among others`)
      const several = await harness.run(ask(texts[0]!, { choices: 3 }))
      t.same(several.text, [alone[0], alone[0], alone[0]], 'choices')
    })
  }
)

t.test('under a pool so small that it must evict, text differs only where two tokens are close', async t => {
  const large = await load(8192)
  const texts = prompts(6)
  const wanted = { maxTokens: 80, ignoreEndOfText: true, logprobs: 2 }
  const expected = await withEngine(large, {}, async harness => {
    const outcomes: Outcome[] = []
    for (const text of texts) outcomes.push(await harness.run(ask(text, wanted)))
    return outcomes
  })
  large.dispose()
  const small = await load(1024)
  t.teardown(() => small.dispose())
  await withEngine(small, { parallel: 6 }, async harness => {
    const outcomes = await Promise.all(
      texts.map((text, i) => harness.run(ask(text, { ...wanted, salt: `${i % 2}` })))
    )
    let same = 0
    for (const [i, outcome] of outcomes.entries()) {
      const gap = gapAtFirstDifference(expected[i] as Outcome, outcome)
      if (gap === null) same++
      t.ok(
        gap === null || gap < LOGIT_BOUND,
        `prompt ${i}: ${gap === null ? 'the same' : `gap ${gap.toFixed(3)}`}`
      )
    }
    const { evictedCells, preemptions } = harness.engine.stats().counters
    t.comment(`${same} of 6 the same; evicted ${evictedCells} cells, preempted ${preemptions} times`)
    t.ok(evictedCells > 0)
  })
})

t.test('a reproducible request keeps its text among ordinary ones', async t => {
  const backend = await load(8192)
  t.teardown(() => backend.dispose())
  const texts = prompts(5)
  await withEngine(backend, {}, async harness => {
    const first = textOf(await harness.run(ask(texts[0]!, { reproducible: true })))
    const others = texts
      .slice(1)
      .map(text => harness.run(ask(text, { maxTokens: 60, ignoreEndOfText: true })))
    const among = await harness.run(ask(texts[0]!, { reproducible: true, salt: 'cold' }))
    await Promise.all(others)
    t.equal(textOf(among), first)
  })
})

t.test('equal shapes in ordinary mode: exact repeats from the cache agree with each other', async t => {
  for (const cacheType of ['f16', 'q8_0']) {
    const backend = await load(8192, cacheType)
    await withEngine(backend, {}, async harness => {
      for (const text of prompts(4)) {
        await harness.run(ask(text))
        const second = await harness.run(ask(text))
        const third = await harness.run(ask(text))
        t.equal(textOf(third), textOf(second), `${cacheType}: attached = attached`)
      }
    })
    backend.dispose()
  }
})

t.test('across shapes teacher-forced logits stay within the bound', async t => {
  const backend = await load(8192)
  t.teardown(() => backend.dispose())
  const text = `${chat('Tell me about the sea.', `${system} ${system}`)}The sea is deep and wide. Many fish live in it.`
  const tokens = await backend.tokenize(text, { addSpecial: false, parseSpecial: true })
  t.ok(tokens.length > 600)
  const reference = await forced(backend, tokens, 512)
  const shapes: Array<[string, () => Promise<Float32Array[]>]> = [
    ['the same again', () => forced(backend, tokens, 512)],
    ...[256, 64, 32, 17, 1].map(
      chunk =>
        [`chunks of ${chunk}`, () => forced(backend, tokens, chunk)] as [
          string,
          () => Promise<Float32Array[]>
        ]
    ),
    ['batch of 16', () => forced(backend, tokens, 512, 15)],
    ['prefix attached from a holder', () => forcedAttached(backend, tokens)]
  ]
  for (const [name, compute] of shapes) {
    const { most, flips } = compare(reference, await compute())
    t.ok(
      most <= (name === 'the same again' ? 0 : LOGIT_BOUND),
      `${name}: logits differ by at most ${most.toFixed(3)}`
    )
    t.equal(flips, 0, `${name}: the most likely token differs only where two are closer than the bound`)
  }
  const small = await forced(backend, tokens, 32)
  for (const [name, other] of [
    ['chunks of 17', await forced(backend, tokens, 17)],
    ['chunks of 63', await forced(backend, tokens, 63)],
    ['batch of 16', await forced(backend, tokens, 32, 15)]
  ] as const) {
    t.equal(compare(small, other).most, 0, `under 64 rows nothing depends on the shape: ${name}`)
  }
})

/** How many last tokens are compared. */
const COMPARED = 16

/** Logits of the last tokens, the prompt before them in chunks, they themselves alone or beside `others` streams. */
async function forced(
  backend: Backend,
  tokens: Int32Array,
  chunk: number,
  others = 0
): Promise<Float32Array[]> {
  const { batch } = backend
  for (let other = 0; other < others; other++) {
    batch.clear()
    for (let i = 0; i < 20; i++) batch.add(100 + other + i, i, 100 + other, false)
    await backend.decode()
  }
  const start = tokens.length - COMPARED
  const rows: Float32Array[] = []
  for (let at = 0; at < tokens.length; ) {
    const rowCount = at < start ? Math.min(chunk, start - at) : 1
    batch.clear()
    let row = -1
    for (let i = 0; i < rowCount; i++) row = batch.add(tokens[at + i]!, at + i, 0, i === rowCount - 1)
    if (at >= start)
      for (let other = 0; other < others; other++) batch.add(300, 20 + at - start, 100 + other, false)
    await backend.decode()
    if (at >= start) rows.push(Float32Array.from(backend.logits(row)))
    at += rowCount
  }
  backend.removeRange(0, 0, -1)
  for (let other = 0; other < others; other++) backend.removeRange(100 + other, 0, -1)
  return rows
}

async function forcedAttached(backend: Backend, tokens: Int32Array): Promise<Float32Array[]> {
  const start = tokens.length - COMPARED
  const { batch } = backend
  for (let at = 0; at < start; at += 512) {
    batch.clear()
    for (let i = at; i < Math.min(start, at + 512); i++) batch.add(tokens[i]!, i, 7, false)
    await backend.decode()
  }
  backend.copyRange(7, 9, 0, start)
  backend.removeRange(7, 0, -1)
  backend.copyRange(9, 3, 0, start)
  const rows: Float32Array[] = []
  for (let at = start; at < tokens.length; at++) {
    batch.clear()
    const row = batch.add(tokens[at]!, at, 3, true)
    await backend.decode()
    rows.push(Float32Array.from(backend.logits(row)))
  }
  for (const id of [3, 9]) backend.removeRange(id, 0, -1)
  return rows
}

/** The largest difference of any logit, and how often the best token changed although the two best were not close. */
function compare(a: Float32Array[], b: Float32Array[]): { most: number; flips: number } {
  let most = 0
  let flips = 0
  for (const [i, left] of a.entries()) {
    const right = b[i] as Float32Array
    for (let token = 0; token < left.length; token++)
      most = Math.max(most, Math.abs(left[token]! - right[token]!))
    const [best, second] = Array.from(left).sort((x, y) => y - x)
    if (left.indexOf(best!) !== right.indexOf(Math.max(...right)) && best! - second! > LOGIT_BOUND) flips++
  }
  return { most, flips }
}
