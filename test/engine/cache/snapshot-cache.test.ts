import t from 'tap'
import type { CacheOwner } from '../../../src/engine/cache/prefix-cache.js'
import { SnapshotCache } from '../../../src/engine/cache/snapshot-cache.js'
import { SequenceIds } from '../../../src/engine/pool/sequence-ids.js'
import { TokenList } from '../../../src/engine/token-list.js'
import { SimulatedBackend } from '../simulated-backend.js'

function setup(options: { memory?: 'hybrid' | 'recurrent'; sequenceIds?: number } = {}) {
  const { memory = 'hybrid', sequenceIds = 16 } = options
  const backend = new SimulatedBackend({ memory, sequenceIds, cells: 1000 })
  const ids = new SequenceIds(sequenceIds)
  const clock = { now: 0 }
  const cache = new SnapshotCache(backend, ids, () => clock.now)
  const start = (tokens: number[], salt = ''): CacheOwner => ({
    sequence: cache.takeId() as number,
    salt,
    tokens: new TokenList(tokens),
    path: [],
    shared: 0
  })
  const compute = async (owner: CacheOwner, to: number) => {
    const from = backend.maxPosition(owner.sequence) + 1
    backend.batch.clear()
    for (let position = from; position < to; position++) {
      backend.batch.add(owner.tokens.at(position), position, owner.sequence, position === to - 1)
    }
    await backend.decode()
  }
  const leave = (owner: CacheOwner) => {
    cache.release(owner)
    backend.removeRange(owner.sequence, 0, -1)
    ids.give(owner.sequence)
  }
  return { backend, ids, clock, cache, start, compute, leave }
}

const run = (length: number, seed = 1) => Array.from({ length }, (_, i) => 1 + ((i * 31 + seed * 17) % 90))

/** Computes a prompt, captures it at its boundaries, and leaves. */
async function keep(
  s: ReturnType<typeof setup>,
  tokens: number[],
  boundaries: number[],
  anchors: number[] = []
) {
  const owner = s.start(tokens)
  const attached = s.cache.attach(owner, tokens.length - 1)
  for (const boundary of boundaries.filter(each => each > attached)) {
    await s.compute(owner, boundary)
    s.cache.capture(owner, boundary, anchors.includes(boundary), true)
  }
  s.leave(owner)
  return attached
}

t.test('the longest snapshot that is a prefix, never a part of one', async t => {
  const s = setup()
  await keep(s, run(60), [20, 40])
  const other = [...run(39), 99, ...run(10)]
  t.equal(s.cache.matchLength('', new TokenList(run(60)), 59), 40)
  t.equal(s.cache.matchLength('', new TokenList(run(60)), 39), 20, 'no longer than asked')
  t.equal(s.cache.matchLength('', new TokenList(other), 49), 20)
  t.equal(s.cache.matchLength('', new TokenList([99, ...run(60).slice(1)]), 59), 0, 'the first token differs')
  t.equal(s.cache.matchLength('salt', new TokenList(run(60)), 59), 0)
  t.equal(s.cache.cells, 40, 'the shorter one is a part of the longer')
  t.equal(s.backend.usedCells(), 40)
})

t.test('cells live as long as anybody holds them', async t => {
  const s = setup()
  await keep(s, run(100), [20, 60, 99])
  const owner = s.start([...run(60), 99, 98])
  t.equal(s.cache.attach(owner, 61), 60)
  t.equal(s.cache.idleCells(), 39)
  t.equal(s.cache.pinnedLength('', new TokenList(run(100)), 99), 60)
  t.equal(s.cache.evict(1000), 39, 'what the stream holds stays')
  t.equal(s.cache.clear(), 0)
  t.equal(s.cache.cells, 60)
  await s.compute(owner, 62)
  s.leave(owner)
  t.equal(s.cache.cells, 0)
  t.equal(s.backend.usedCells(), 0)
  t.equal(s.ids.used, 0)
})

t.test('two that computed the same end on the same cells', async t => {
  const s = setup()
  const [a, b] = [s.start(run(50)), s.start(run(50))]
  for (const owner of [a, b]) await s.compute(owner, 49)
  s.cache.capture(a, 49, false, true)
  t.equal(s.backend.usedCells(), 98)
  s.cache.capture(b, 49, false, true)
  t.equal(s.backend.usedCells(), 49)
  t.equal(b.shared, 49)
  await s.compute(b, 50)
  t.equal(s.backend.usedCells(), 50)
})

t.test('out of ids the coldest goes, anchors last', async t => {
  const s = setup({ sequenceIds: 6 })
  await keep(s, run(30, 7), [29], [29])
  for (let i = 0; i < 8; i++) {
    s.clock.now += 10
    await keep(s, run(40, 20 + i), [39])
  }
  t.equal(s.cache.matchLength('', new TokenList(run(30, 7)), 29), 29, 'the anchor is there')
  t.equal(s.cache.matchLength('', new TokenList(run(40, 27)), 39), 39, 'so is the newest')
  t.equal(s.cache.matchLength('', new TokenList(run(40, 20)), 39), 0)
  t.ok(s.ids.available >= 2)
})

t.test('out of ids, the snapshot that the next request is put onto is the last to go', async t => {
  const s = setup({ sequenceIds: 6 })
  for (let i = 0; i < 3; i++) {
    s.clock.now += 10
    await keep(s, run(40, 20 + i), [39])
  }
  const prompt = new TokenList(run(40, 20))
  while (s.ids.available > 0) s.ids.take()
  for (let i = 0; i < 2; i++) {
    t.type(s.cache.takeId({ salt: '', tokens: prompt }, 39), 'number')
    t.equal(s.cache.matchLength('', prompt, 39), 39, 'although it is the coldest')
  }
  t.type(s.cache.takeId({ salt: '', tokens: prompt }, 39), 'number', 'rather that than no id at all')
  t.equal(s.cache.matchLength('', prompt, 39), 0)
})

t.test('a copy that was not made at a boundary is refused', async t => {
  const s = setup()
  const owner = s.start(run(50))
  await s.compute(owner, 49)
  s.cache.capture(owner, 40, false, true)
  t.equal(s.cache.guardFailures, 1)
  t.equal(s.cache.matchLength('', new TokenList(run(50)), 49), 0)
  t.equal(owner.shared, 0)
})

t.test('states of a purely recurrent model take no cells', async t => {
  const s = setup({ memory: 'recurrent' })
  await keep(s, run(60), [20, 59])
  t.equal(await keep(s, run(60), [59]), 59)
  t.equal(s.cache.cells, 0)
  t.equal(s.cache.evict(10), 0, 'there is nothing to gain')
  s.cache.clear()
  t.equal(s.ids.used, 0)
})
