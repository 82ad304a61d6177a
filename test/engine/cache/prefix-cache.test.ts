import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Branch } from '../../../src/engine/cache/branch.js'
import { type CacheOwner, PrefixCache } from '../../../src/engine/cache/prefix-cache.js'
import { SequenceIds } from '../../../src/engine/pool/sequence-ids.js'
import { TokenList } from '../../../src/engine/token-list.js'
import { count } from '../../support/counts.js'
import { SimulatedBackend } from '../simulated-backend.js'

/** A request that only computes its tokens. */
class Owner implements CacheOwner {
  path = []
  shared = 0
  computed = 0
  constructor(
    public sequence: number,
    readonly salt: string,
    readonly tokens: TokenList
  ) {}
}

/** The tree's plain counterpart: every cached prefix as a string. */
class NaiveCache {
  private readonly prefixes = new Set<string>()

  get cells(): number {
    return this.prefixes.size
  }

  insert(salt: string, tokens: Int32Array): void {
    for (let end = 1; end <= tokens.length; end++) this.prefixes.add(key(salt, tokens.subarray(0, end)))
  }

  remove(salt: string, tokens: Int32Array, from: number): void {
    for (let end = from + 1; end <= tokens.length; end++)
      this.prefixes.delete(key(salt, tokens.subarray(0, end)))
  }

  match(salt: string, tokens: Int32Array, limit: number): number {
    let length = 0
    while (length < limit && this.prefixes.has(key(salt, tokens.subarray(0, length + 1)))) length++
    return length
  }
}

function key(salt: string, tokens: Int32Array): string {
  return `${salt}|${tokens.join(',')}`
}

/** All tokens from the root to the end of a branch. */
function pathOf(branch: Branch): Int32Array {
  const tokens: number[] = []
  for (let position = branch.end - 1, at: Branch | null = branch; position >= 0 && at; position--) {
    while (at && position < at.start) at = at.parent
    tokens.push((at as Branch).tokenAt(position))
  }
  return Int32Array.from(tokens.reverse())
}

class World {
  readonly backend: SimulatedBackend
  readonly ids: SequenceIds
  readonly cache: PrefixCache
  clock = 0
  readonly naive = new NaiveCache()
  readonly owners: Owner[] = []

  constructor(sequenceIds: number) {
    this.backend = new SimulatedBackend({ cells: 100_000, sequenceIds })
    this.ids = new SequenceIds(sequenceIds)
    this.cache = new PrefixCache(this.backend, this.ids, () => this.clock++)
    this.cache.onEvict = (branch, from) => this.naive.remove(branch.salt, pathOf(branch), from)
  }

  /** A request comes, attaches, computes the rest and leaves it in the cache. */
  async start(salt: string, tokens: number[], chunk: number): Promise<void> {
    const id = this.cache.takeId()
    if (id === undefined) return
    const owner = new Owner(id, salt, new TokenList(tokens))
    const limit = tokens.length - 1
    const expected = this.naive.match(salt, Int32Array.from(tokens), limit)
    owner.computed = this.cache.attach(owner, limit)
    assert.equal(owner.computed, expected, 'attached the longest cached prefix')
    this.owners.push(owner)
    while (owner.computed < tokens.length) {
      const to = Math.min(tokens.length, owner.computed + chunk)
      this.backend.batch.clear()
      for (let i = owner.computed; i < to; i++) this.backend.batch.add(tokens[i] as number, i, id, false)
      await this.backend.decode()
      owner.computed = to
      const shared = this.cache.insert(owner, to)
      this.naive.insert(salt, Int32Array.from(tokens.slice(0, shared)))
    }
  }

  finish(index: number): void {
    const [owner] = this.owners.splice(index % Math.max(1, this.owners.length), 1)
    if (!owner) return
    this.cache.release(owner)
    this.backend.removeRange(owner.sequence, 0, -1)
    this.ids.give(owner.sequence)
  }

  check(): void {
    assert.equal(this.cache.cells, this.naive.cells, 'tokens in the tree')
    const own = this.owners.reduce((cells, owner) => cells + owner.computed - owner.shared, 0)
    assert.equal(this.cache.cells + own, this.backend.usedCells(), 'cells of the backend')
    assert.equal(this.ids.used, this.cache.index.branches.size + this.owners.length, 'sequence ids')
    for (const branch of this.cache.index.branches) {
      assert.equal(this.backend.minPosition(branch.sequence), branch.start)
      assert.equal(this.backend.maxPosition(branch.sequence), branch.end - 1)
      assert.equal(branch.entries.at(-1)?.end, branch.end, 'entries cover the branch')
    }
    for (const owner of this.owners) {
      assert.equal(this.backend.minPosition(owner.sequence), 0)
      assert.equal(this.backend.maxPosition(owner.sequence), owner.computed - 1)
    }
  }
}

const operation = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('start' as const),
      salt: fc.constantFrom('', 'a'),
      // Few tokens, so that prefixes meet, split and nest.
      tokens: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 14 }),
      chunk: fc.integer({ min: 1, max: 6 })
    })
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('finish' as const), index: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('evict' as const), cells: fc.integer({ min: 1, max: 12 }) })
  }
)

t.test('the tree agrees with a naive model, and its cells with the backend', async t => {
  const runs = count(150, 3000)
  t.comment(`${runs} random histories`)
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 40 }),
      fc.constantFrom(6, 12, 40),
      async (operations, sequenceIds) => {
        const world = new World(sequenceIds)
        for (const step of operations) {
          if (step.kind === 'start') await world.start(step.salt, step.tokens, step.chunk)
          else if (step.kind === 'finish') world.finish(step.index)
          else world.cache.evict(step.cells)
          world.check()
        }
        while (world.owners.length > 0) world.finish(0)
        assert.equal(world.cache.idleCells(), world.cache.cells, 'with nobody attached all is idle')
        world.cache.clear()
        assert.equal(world.backend.usedCells(), 0)
        assert.equal(world.ids.used, 0)
        world.check()
      }
    ),
    { numRuns: runs }
  )
  t.pass('all histories agree')
})

t.test('salts never meet', async t => {
  const world = new World(16)
  await world.start('one', [1, 2, 3, 4, 5], 5)
  const tokens = new TokenList([1, 2, 3, 4, 5])
  t.equal(world.cache.matchLength('one', tokens, 5), 5)
  t.equal(world.cache.matchLength('two', tokens, 5), 0)
  t.equal(world.cache.matchLength('', tokens, 5), 0)
})

t.test('a request that computed what another had cached meanwhile swaps onto those cells', async t => {
  const world = new World(16)
  const prompt = [1, 2, 3, 4, 5, 6]
  const late = new Owner(world.cache.takeId() as number, '', new TokenList(prompt))
  for (const [position, token] of prompt.entries()) {
    world.backend.batch.clear()
    world.backend.batch.add(token, position, late.sequence, false)
    await world.backend.decode()
  }
  late.computed = 6
  await world.start('', prompt, 6)
  t.equal(world.backend.usedCells(), 12)
  t.equal(world.cache.insert(late, 6), 6)
  t.equal(world.backend.usedCells(), 6, 'its own cells are free')
})

t.test('an anchor outlives a tail of the same age', async t => {
  const world = new World(16)
  await world.start('', [1, 2, 3, 4, 5, 6, 7, 8], 8)
  const anchored = world.owners[0] as Owner
  world.cache.release(anchored)
  const other = new Owner(world.cache.takeId() as number, 'b', new TokenList([1, 2, 3, 4]))
  for (let i = 0; i < 4; i++) {
    world.backend.batch.clear()
    world.backend.batch.add(i + 1, i, other.sequence, false)
    await world.backend.decode()
  }
  world.cache.insert(other, 4, true)
  world.cache.release(other)
  world.clock += 10
  const evicted: string[] = []
  world.cache.onEvict = branch => evicted.push(branch.salt)
  world.cache.evict(8)
  t.same([...new Set(evicted)], [''])
})

t.test(
  'what leaves for a tier goes by age alone, an anchor too, once it is idle for long enough',
  async t => {
    const world = new World(16)
    const anchored = new Owner(world.cache.takeId() as number, '', new TokenList([1, 2, 3, 4]))
    world.owners.push(anchored)
    for (let i = 0; i < 4; i++) {
      world.backend.batch.clear()
      world.backend.batch.add(i + 1, i, anchored.sequence, false)
      await world.backend.decode()
    }
    anchored.computed = 4
    world.cache.insert(anchored, 4, true)
    world.finish(0)
    world.clock += 1000
    await world.start('', [5, 6, 7], 3)
    world.finish(0)
    t.equal(world.cache.evictCold(100, 5000), 0)
    t.equal(world.cache.evictCold(100, 500), 4)
    t.equal(world.cache.matchLength('', new TokenList([5, 6, 7]), 3), 3)
  }
)

t.test(
  'out of ids, the prefix that the next request is put onto is the last to go, however cold',
  async t => {
    for (const protects of [false, true]) {
      const world = new World(8)
      const coldest = [9, 9, 9, 9, 9, 9]
      await world.start('', coldest, 6)
      world.finish(0)
      for (let i = 1; i <= 3; i++) {
        await world.start('', [i, i, i, i], 4)
        world.finish(0)
      }
      const prompt = new TokenList([...coldest, 1, 2])
      // Requests that only hold an id take the rest.
      while (world.ids.available > 0) world.ids.take()
      t.type(protects ? world.cache.takeId({ salt: '', tokens: prompt }, 7) : world.cache.takeId(), 'number')
      t.equal(
        world.cache.matchLength('', prompt, 7),
        protects ? 6 : 0,
        protects ? 'kept' : 'it was the coldest'
      )
      if (!protects) continue
      for (let i = 0; i < 2; i++) t.type(world.cache.takeId({ salt: '', tokens: prompt }, 7), 'number')
      t.equal(world.cache.matchLength('', prompt, 7), 6)
      t.type(world.cache.takeId({ salt: '', tokens: prompt }, 7), 'number', 'rather that than no id at all')
      t.equal(world.cache.matchLength('', prompt, 7), 0)
      t.equal(world.cache.takeId({ salt: '', tokens: prompt }, 7), undefined)
    }
  }
)
