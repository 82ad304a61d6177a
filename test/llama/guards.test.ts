import t from 'tap'
import { feed, greedy, small, someTokens } from './support/backends.js'

/** Each of these would abort the process, or read foreign memory, if it reached the library. */

t.test('the batch keeps to its rows, outputs, ids, tokens and positions', async t => {
  const { batch, capabilities } = await small(t, { batchRows: 64, sequenceIds: 8 })
  t.equal(batch.capacity, 64)
  t.equal(capabilities.outputRows, 8)
  for (let row = 0; row < 8; row++) t.equal(batch.add(50, row, 0, true), row)
  t.throws(() => batch.add(50, 8, 0, true), RangeError, 'a ninth output')
  t.throws(() => batch.add(50, 8, 8, false), RangeError, 'an id too high')
  t.throws(() => batch.add(50, 8, -1, false), RangeError, 'a negative id')
  t.throws(() => batch.add(6400, 8, 0, false), RangeError, 'a token outside the vocabulary')
  t.throws(() => batch.add(1.5, 8, 0, false), RangeError)
  t.throws(() => batch.add(50, -1, 0, false), RangeError)
  for (let row = 8; row < 64; row++) batch.add(50, row, 0, false)
  t.throws(() => batch.add(50, 64, 0, false), RangeError, 'one row too many')
  t.equal(batch.length, 64, 'a refused row leaves nothing behind')
  batch.clear()
  t.equal(batch.length, 0)
})

t.test('sequence ids out of range never reach the library', async t => {
  const backend = await small(t)
  for (const id of [-1, 16, 256, 1.5, Number.NaN]) {
    t.throws(() => backend.copyRange(0, id, 0, 1), RangeError)
    t.throws(() => backend.copyRange(id, 0, 0, 1), RangeError)
    t.throws(() => backend.removeRange(id, -1, -1), RangeError)
    t.throws(() => backend.minPosition(id), RangeError)
    t.throws(() => backend.maxPosition(id), RangeError)
    t.throws(() => backend.stateBytes(id), RangeError)
    t.throws(() => backend.saveState(id, new Uint8Array(8)), RangeError)
    t.throws(() => backend.restoreState(id, new Uint8Array(8)), RangeError)
  }
})

t.test('only rows with an output can be read, of the last decode', async t => {
  const backend = await small(t)
  const sampler = backend.createSampler(greedy)
  t.throws(() => backend.logits(0), RangeError, 'nothing computed yet')
  t.throws(() => sampler.sample(0), RangeError)
  backend.batch.add(50, 0, 0, false)
  const row = backend.batch.add(51, 1, 0, true)
  await backend.decode()
  t.equal(backend.logits(row).length, 6400)
  t.throws(() => backend.logits(0), RangeError, 'a row without output')
  t.throws(() => sampler.sample(0), RangeError)
  t.throws(() => sampler.sample(2), RangeError)
  backend.batch.clear()
  backend.batch.add(52, 2, 0, true)
  t.type(sampler.sample(row), 'number', 'rows of the next decode may be added before the last is read')
  sampler.free()
  sampler.free()
  t.throws(() => sampler.sample(row), /freed/)
})

t.test('the rows of a batch map to their own logits', async t => {
  const backend = await small(t)
  const prompts = [someTokens(20, 6400, 1), someTokens(30, 6400, 2), someTokens(10, 6400, 3)]
  const alone: Float32Array[] = []
  for (const prompt of prompts) {
    alone.push(await feed(backend, 0, prompt, 0))
    backend.removeRange(0, -1, -1)
  }
  backend.batch.clear()
  const rows = prompts.map((prompt, id) =>
    prompt.map((token, at) => backend.batch.add(token, at, id, at === prompt.length - 1)).at(-1)
  )
  await backend.decode()
  const first = backend.logits(rows[0]!)
  t.equal(backend.logits(rows[0]!), first, 'one view is kept')
  rows.forEach((row, id) => {
    const together = backend.logits(row!)
    const distance = Math.max(...together.map((value, at) => Math.abs(value - alone[id]![at]!)))
    t.ok(distance < 0.5, `row ${row}: ${distance} from alone`)
  })
})

t.test('a batch that the library refuses is an error and changes nothing', async t => {
  const backend = await small(t)
  await t.rejects(backend.decode(), { code: 'decode_failed' }, 'an empty batch')
  await feed(backend, 0, someTokens(10, 6400), 0)
  backend.batch.clear()
  backend.batch.add(50, 20, 0, true)
  await t.rejects(backend.decode(), { code: 'decode_failed' }, 'a gap')
  t.equal(backend.maxPosition(0), 9)
})

t.test('nothing but text is touched while a decode runs', async t => {
  const backend = await small(t)
  const sampler = backend.createSampler(greedy)
  someTokens(500, 6400).forEach((token, at) => {
    backend.batch.add(token, at, 0, at === 499)
  })
  const running = backend.decode()
  t.throws(() => backend.maxPosition(0), /decode is running/)
  t.throws(() => backend.logits(499), /decode is running/)
  t.throws(() => backend.copyRange(0, 1, 0, 1), /decode is running/)
  t.throws(() => sampler.sample(499), /decode is running/)
  await t.rejects(backend.decode(), /decode is running/)
  const tokens = await backend.tokenize('meanwhile, '.repeat(1000), {
    addSpecial: false,
    parseSpecial: false
  })
  t.ok(tokens.length > 1000)
  t.ok(backend.piece(100).length > 0)
  t.equal(await running, 'ok')
})

t.test('the event loop turns during a decode', async t => {
  const backend = await small(t)
  someTokens(512, 6400).forEach((token, at) => {
    backend.batch.add(token, at, 0, false)
  })
  let turns = 0
  let done = false
  const count = () => {
    turns++
    if (!done) setImmediate(count)
  }
  setImmediate(count)
  await backend.decode()
  done = true
  t.ok(turns > 10, `${turns} turns`)
})

t.test('disposing waits for what runs on other threads', async t => {
  const backend = await small(t)
  const sampler = backend.createSampler(greedy)
  someTokens(500, 6400).forEach((token, at) => {
    backend.batch.add(token, at, 0, at === 499)
  })
  const running = backend.decode()
  const text = backend.tokenize('some text '.repeat(50_000), { addSpecial: false, parseSpecial: false })
  backend.dispose()
  t.equal(await running, 'ok')
  t.ok((await text).length > 0)
  t.throws(() => backend.maxPosition(0), /disposed/)
  t.throws(() => sampler.sample(499), /disposed|freed/)
  sampler.free()
  backend.dispose()
})
