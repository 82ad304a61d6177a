/** Next tokens computed in breaks of a prompt's decode, against the same computed one after the other. */
import t from 'tap'
import type { Backend, DecodeBreaks } from '../../src/engine/backend.js'
import { feed, small, someTokens } from './support/backends.js'
import { decodingProcess } from './support/decoding-process.js'

const skip = process.platform !== 'linux' && 'breaks need a C library of Linux'
/** As between any two shapes (test/engine/oracle.test.ts). */
const BOUND = 1.5
const options = { contextCells: 4096, sequenceIds: 9 }

async function prompt(backend: Backend, sequence: number, length: number, breaks?: DecodeBreaks) {
  const tokens = someTokens(length, backend.info.vocabularySize, 99)
  backend.batch.clear()
  let row = -1
  for (const [at, token] of tokens.entries())
    row = backend.batch.add(token, at, sequence, at === tokens.length - 1)
  const result = await backend.decode(breaks ? { breaks } : {})
  return { result, logits: backend.logits(row).slice() }
}

const next = (sequence: number, position: number) => ({ token: 100 + position, position, sequence })

async function nextApart(backend: Backend, rows: Array<ReturnType<typeof next>>): Promise<Float32Array[]> {
  backend.batch.clear()
  for (const row of rows) backend.batch.add(row.token, row.position, row.sequence, true)
  if ((await backend.decode({ lanes: true })) !== 'ok') throw new Error('full')
  return rows.map((_, row) => backend.logits(row).slice())
}

t.test('tokens beside a prompt, and the prompt itself, come out the same', { skip }, async t => {
  const [backend, plain] = [await small(t, { ...options, lanes: 4 }), await small(t, options)]
  const streams = [1, 2, 3]
  for (const each of [backend, plain]) {
    for (const sequence of streams)
      await feed(each, sequence, someTokens(30, each.info.vocabularySize, sequence), 0, 30)
    await nextApart(
      each,
      streams.map(sequence => next(sequence, 30))
    )
  }
  const beside = backend.beside!
  t.ok(beside.takes(1, 31))
  t.notOk(beside.takes(1, 32), 'another position')
  t.notOk(beside.takes(4, 0), 'a sequence that is in no lane')
  t.throws(() => beside.compute([next(1, 31)]), /break/, 'only in a break')

  const seen: Float32Array[][] = []
  let position = 31
  const { result, logits } = await prompt(backend, 5, 512, {
    after: 5,
    take: () => {
      beside.compute(streams.map(sequence => next(sequence, position)))
      seen.push(streams.map((_, row) => backend.logits(row).slice()))
      position++
      return 5
    }
  })
  t.equal(result, 'ok')
  t.ok(seen.length >= 2, `${seen.length} breaks`)
  for (const [i, rows] of seen.entries()) {
    const want = await nextApart(
      plain,
      streams.map(sequence => next(sequence, 31 + i))
    )
    for (const [row, wanted] of want.entries())
      t.same(Buffer.compare(bytes(rows[row]!), bytes(wanted)), 0, `break ${i}, stream ${row}`)
  }
  const { logits: wanted } = await prompt(plain, 5, 512)
  const difference = logits.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0)
  // On other cells: the streams' tokens lie before its own there.
  t.ok(difference < BOUND, `the prompt's logits differ by ${difference}`)
  t.equal(backend.usedCells(), plain.usedCells())
  const more = streams.map(sequence => next(sequence, position))
  const [a, b] = [await nextApart(backend, more), await nextApart(plain, more)]
  for (const row of more.keys()) t.same(Buffer.compare(bytes(a[row]!), bytes(b[row]!)), 0, 'and afterwards')
})

t.test('two streams can be computed one after the other in a break', { skip }, async t => {
  const backend = await small(t, { ...options, lanes: 4 })
  for (const sequence of [1, 2]) await feed(backend, sequence, someTokens(20, 6000, sequence), 0)
  await nextApart(backend, [next(1, 20), next(2, 20)])
  let taken = 0
  const logits: Float32Array[] = []
  await prompt(backend, 5, 512, {
    after: 0,
    take: () => {
      if (taken++ > 0) return 1000
      for (const sequence of [1, 2]) {
        backend.beside!.compute([next(sequence, 21)])
        logits.push(backend.logits(0).slice())
        t.throws(() => backend.logits(1), /row 1/)
      }
      t.throws(() => backend.removeRange(1, 0, -1), /decode is running/, 'the pool is not to be touched')
      return 1000
    }
  })
  t.equal(logits.length, 2)
  t.not(Buffer.compare(bytes(logits[0]!), bytes(logits[1]!)), 0)
})

t.test('several threads have breaks together', { skip }, async t => {
  const backend = await small(t, { ...options, lanes: 4, threads: 2 })
  const plain = await small(t, options)
  for (const each of [backend, plain]) {
    for (const sequence of [1, 2]) await feed(each, sequence, someTokens(20, 6000, sequence), 0)
    await nextApart(each, [next(1, 20), next(2, 20)])
  }
  const logits: Float32Array[] = []
  const { result } = await prompt(backend, 5, 512, {
    after: 5,
    take: () => {
      if (logits.length > 0) return 1000
      backend.beside!.compute([next(1, 21), next(2, 21)])
      logits.push(backend.logits(0).slice(), backend.logits(1).slice())
      return 5
    }
  })
  t.equal(result, 'ok')
  const wanted = await nextApart(plain, [next(1, 21), next(2, 21)])
  for (const [row, values] of wanted.entries())
    t.same(Buffer.compare(bytes(logits[row]!), bytes(values)), 0, `stream ${row}`)
  const [a] = await nextApart(backend, [next(1, 22)])
  const [b] = await nextApart(plain, [next(1, 22)])
  t.same(Buffer.compare(bytes(a!), bytes(b!)), 0, 'and afterwards')
})

t.test('no lanes, no breaks', async t => {
  const backend = await small(t, options)
  t.equal(backend.beside, undefined)
  let taken = 0
  const { result } = await prompt(backend, 5, 512, { after: 0, take: () => ++taken })
  t.same([result, taken], ['ok', 0])
})

t.test('a process that ends in the middle of a decode ends', { skip }, async t => {
  for (const [end, code] of [
    ['process.exit(7)', 7],
    ['setTimeout(() => { throw new Error() })', 1],
    ['backend.dispose()', 0]
  ] as const) {
    const exit = await decodingProcess(
      `backend.decode({ breaks: { after: 2, take: () => { ${end}; return 1 } } }).catch(() => {})`
    )
    t.equal(exit, code, end)
  }
})

function bytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
