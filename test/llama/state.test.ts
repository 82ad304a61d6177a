import t from 'tap'
import { continueGreedily, feed, small, someTokens } from './support/backends.js'

const shared = someTokens(512, 6400)
const own = someTokens(64, 6400, 3)

t.test('attached, restored and joined sequences go on exactly as the computed one', async t => {
  const backend = await small(t)
  await feed(backend, 0, shared, 0)
  backend.copyRange(0, 10, 0, shared.length)
  const answer = async (sequence: number) => {
    const logits = await feed(backend, sequence, own, shared.length)
    const tokens = await continueGreedily(backend, sequence, logits, shared.length + own.length, 24)
    backend.removeRange(sequence, -1, -1)
    return tokens
  }
  const reference = await answer(0)

  backend.copyRange(10, 1, 0, shared.length)
  t.equal(backend.usedCells(), shared.length, 'attaching takes no cells')
  t.same(await answer(1), reference, 'attached')

  const blob = Buffer.alloc(backend.stateBytes(10))
  t.equal(backend.saveState(10, blob), blob.length)
  t.ok(backend.removeRange(10, -1, -1))
  t.equal(backend.usedCells(), 0)
  t.equal(backend.restoreState(11, blob), blob.length)
  backend.copyRange(11, 2, 0, shared.length)
  t.same(await answer(2), reference, 'restored')

  const halves = [
    [12, 0, 256],
    [13, 256, 512]
  ] as const
  for (const [id, p0, p1] of halves) backend.copyRange(11, id, p0, p1)
  backend.removeRange(11, -1, -1)
  const blobs = halves.map(([id]) => {
    const bytes = new Uint8Array(backend.stateBytes(id))
    t.equal(backend.saveState(id, bytes), bytes.length)
    backend.removeRange(id, -1, -1)
    return bytes
  })
  t.equal(backend.restoreState(13, blobs[1]!), blobs[1]!.length, 'the second half first')
  t.equal(backend.restoreState(12, blobs[0]!), blobs[0]!.length)
  backend.copyRange(12, 3, -1, -1)
  backend.copyRange(13, 3, -1, -1)
  t.equal(backend.minPosition(3), 0)
  t.equal(backend.maxPosition(3), shared.length - 1)
  t.same(await answer(3), reference, 'joined')
})

t.test('a preempted stream resumes with the tokens it would have had', async t => {
  const backend = await small(t)
  const logits = await feed(backend, 0, own, 0)
  backend.copyRange(0, 5, -1, -1)
  const whole = await continueGreedily(backend, 0, logits, own.length, 20)
  const first = await continueGreedily(backend, 5, logits, own.length, 10)
  const blob = new Uint8Array(backend.stateBytes(5))
  backend.saveState(5, blob)
  backend.removeRange(5, -1, -1)
  await feed(backend, 6, someTokens(300, 6400, 9), 0)
  backend.restoreState(7, blob)
  const last = await feed(backend, 7, [whole[10]!], own.length + 10)
  const second = await continueGreedily(backend, 7, last, own.length + 11, 9)
  t.same([...first, whole[10], ...second], whole)
})

t.test('states that cannot be taken leave the sequence empty and the others alone', async t => {
  const backend = await small(t, { contextCells: 512 })
  await feed(backend, 0, someTokens(300, 6400), 0)
  const blob = new Uint8Array(backend.stateBytes(0))
  backend.saveState(0, blob)
  t.equal(backend.saveState(0, blob.subarray(0, 1000)), 0, 'too small a buffer')
  t.equal(backend.restoreState(1, blob), 0, 'no room')
  t.equal(backend.maxPosition(1), -1)
  t.equal(backend.restoreState(1, blob.subarray(0, blob.length / 2)), 0, 'cut short')
  t.equal(backend.restoreState(1, new Uint8Array(64)), 0, 'not a state')
  t.equal(backend.maxPosition(1), -1)
  t.equal(backend.usedCells(), 300)
  t.throws(() => backend.restoreState(0, blob), RangeError, 'a sequence that holds something is not a target')
  t.equal(backend.usedCells(), 300)
})

t.test('a full pool says so and changes nothing', async t => {
  const backend = await small(t, { contextCells: 512 })
  const prompt = someTokens(400, 6400)
  const logits = await feed(backend, 0, prompt, 0)
  backend.copyRange(0, 5, -1, -1)
  const expected = await continueGreedily(backend, 5, logits, 400, 8)
  backend.removeRange(5, -1, -1)
  const before = new Uint8Array(backend.stateBytes(0))
  backend.saveState(0, before)
  backend.batch.clear()
  for (let index = 0; index < 200; index++) backend.batch.add(prompt[index]!, index, 1, index === 199)
  t.equal(await backend.decode(), 'full')
  t.equal(backend.maxPosition(1), -1)
  t.equal(backend.maxPosition(0), 399)
  t.equal(backend.usedCells(), 400)
  const after = new Uint8Array(backend.stateBytes(0))
  backend.saveState(0, after)
  t.ok(Buffer.from(after.buffer).equals(Buffer.from(before.buffer)), 'not a byte')
  t.throws(() => backend.logits(199), RangeError, 'nothing was computed')
  t.same(await continueGreedily(backend, 0, logits, 400, 8), expected, 'the other sequence goes on')
})

t.test('counts shared cells once, with holes and with none', async t => {
  const backend = await small(t)
  t.equal(backend.usedCells(), 0)
  await feed(backend, 0, someTokens(100, 6400), 0)
  backend.copyRange(0, 1, 0, 50)
  backend.copyRange(0, 2, 20, 100)
  t.equal(backend.usedCells(), 100)
  backend.removeRange(0, -1, -1)
  t.equal(backend.usedCells(), 100)
  backend.removeRange(1, 10, 20)
  t.equal(backend.usedCells(), 90)
  backend.removeRange(1, -1, -1)
  backend.removeRange(2, -1, -1)
  t.equal(backend.usedCells(), 0)
})
