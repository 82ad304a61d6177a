import fc from 'fast-check'
import t from 'tap'
import type { PieceMeta } from '../../../src/engine/tiers/piece.js'
import { ENTRY_OVERHEAD_BYTES, RamTier } from '../../../src/engine/tiers/ram.js'
import { blobOf, chainOf, tokensOf } from './support.js'

const CHUNK = 1024
const GRID = 8
const PER_CHUNK = CHUNK + 4 + ENTRY_OVERHEAD_BYTES + GRID * 4
const SMALL = 50 // bytes per token: a full piece takes one chunk

function tierOf(chunks: number, more: Partial<ConstructorParameters<typeof RamTier>[0]> = {}) {
  return new RamTier({ bytes: chunks * PER_CHUNK, grid: GRID, chunkBytes: CHUNK, ...more })
}

function pieces(seed: number, length: number, salt = ''): PieceMeta[] {
  return chainOf(tokensOf(seed, length), salt, GRID).pieces(0)
}

function put(ram: RamTier, meta: PieceMeta, anchor = false) {
  return ram.put(meta, blobOf(meta, SMALL), { anchor })
}

function read(ram: RamTier, meta: PieceMeta): Uint8Array | undefined {
  const entry = ram.get(meta.hash)
  return entry && ram.read(entry, new Uint8Array(entry.bytes))
}

t.test('the least recently used goes first', async t => {
  const evicted: string[] = []
  const ram = tierOf(3, { onEvict: entry => evicted.push(entry.hash) })
  const [a, b, c, d] = [1, 2, 3, 4].map(seed => pieces(seed, GRID)[0]!) as [PieceMeta, ...PieceMeta[]]
  for (const piece of [a, b!, c!]) t.equal(put(ram, piece), 'stored')
  t.strictSame(read(ram, a), blobOf(a, SMALL))
  put(ram, d!)
  t.strictSame(evicted, [b!.hash])
  t.ok(ram.get(a.hash)!.reused)
  t.notOk(ram.get(c!.hash)!.reused)
})

t.test('leaves go before what they hang on', async t => {
  const evicted: string[] = []
  const ram = tierOf(4, { onEvict: entry => evicted.push(entry.hash) })
  const chain = pieces(1, 3 * GRID)
  for (const piece of chain) put(ram, piece)
  for (const seed of [2, 3, 4]) put(ram, pieces(seed, GRID)[0]!)
  t.strictSame(evicted, [chain[2]!.hash, chain[1]!.hash])
  t.ok(ram.get(chain[0]!.hash))
})

t.test('a chain longer than the memory keeps its beginning', async t => {
  const ram = tierOf(3)
  const chain = pieces(1, 5 * GRID)
  t.strictSame(
    chain.map(piece => put(ram, piece)),
    ['stored', 'stored', 'stored', 'no_room', 'no_room']
  )
})

t.test('anchors, and what they hang on, outlive live tails; but not without end', async t => {
  const ram = tierOf(10)
  const anchored = pieces(1, 2 * GRID)
  put(ram, anchored[0]!)
  put(ram, anchored[1]!, true)
  t.ok(ram.get(anchored[0]!.hash)!.anchor)
  for (let seed = 10; seed < 40; seed++) put(ram, pieces(seed, GRID)[0]!)
  t.strictSame(read(ram, anchored[1]!), blobOf(anchored[1]!, SMALL))
  for (let seed = 50; seed < 60; seed++) put(ram, pieces(seed, GRID)[0]!, true)
  t.ok(ram.stats().anchors <= 10)
  const live = pieces(99, GRID)[0]!
  t.equal(put(ram, live), 'stored', 'a live piece finds room among nothing but anchors')
  t.notOk(ram.get(anchored[1]!.hash))
})

t.test('a longer piece takes the place of the tail it continues, and inherits its flags', async t => {
  const ram = tierOf(10)
  const tokens = tokensOf(1, 2 * GRID)
  const chain = chainOf(tokens, '', GRID)
  put(ram, chain.piece(0, GRID))
  const tail = chain.piece(GRID, GRID + 3)
  put(ram, tail, true)
  read(ram, tail)
  t.equal(put(ram, chain.piece(GRID, GRID + 5)), 'stored')
  t.notOk(ram.get(tail.hash))
  const longer = ram.get(chain.piece(GRID, GRID + 5).hash)!
  t.ok(longer.anchor)
  t.ok(longer.reused)
  t.equal(put(ram, tail), 'covered')
  t.equal(put(ram, chain.piece(GRID, GRID + 5)), 'known')
  t.match(ram.stats(), { pieces: 2, superseded: 1 })

  const whole = tierOf(10, { cuttable: false })
  put(whole, tail)
  put(whole, chain.piece(GRID, GRID + 5))
  t.match(whole.stats(), { pieces: 2, superseded: 0 }, 'pieces that cannot be cut replace nothing')
})

t.test('a hash that stands for other tokens is refused', async t => {
  const ram = tierOf(4)
  const [piece] = pieces(1, GRID)
  put(ram, piece!)
  const impostor = { ...piece!, tokens: tokensOf(2, GRID) }
  t.equal(ram.put(impostor, new Uint8Array(10)), 'collision')
  t.strictSame(read(ram, piece!), blobOf(piece!, SMALL))
})

t.test('what is larger than everything is refused at once', async t => {
  const ram = tierOf(4)
  put(ram, pieces(1, GRID)[0]!)
  t.equal(ram.put(pieces(2, GRID)[0]!, new Uint8Array(5 * CHUNK)), 'too_large')
  t.equal(ram.stats().pieces, 1)
  t.equal(tierOf(0).put(pieces(2, GRID)[0]!, new Uint8Array(1)), 'too_large')
})

t.test('clearing one salt leaves the others', async t => {
  const ram = tierOf(10)
  const mine = pieces(1, GRID, 'mine')[0]!
  const yours = pieces(1, GRID, 'yours')[0]!
  put(ram, mine)
  put(ram, yours)
  t.equal(ram.clear(mine.root).length, 1)
  t.notOk(ram.get(mine.hash))
  t.strictSame(read(ram, yours), blobOf(yours, SMALL))
  ram.clear()
  t.match(ram.stats(), { pieces: 0, payloadBytes: 0, usedBytes: 0 })
})

t.test(
  'any sequence of operations: exact accounting, the cap holds, no wrong blob, nothing hangs in the air',
  async t => {
    const operation = fc.record({
      seed: fc.integer({ min: 0, max: 5 }),
      length: fc.integer({ min: 1, max: 5 * GRID }),
      bytesPerToken: fc.constantFrom(1, 50, 300),
      anchor: fc.boolean(),
      kind: fc.constantFrom('put', 'put', 'put', 'read', 'clear')
    })
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 60 }),
        fc.integer({ min: 0, max: 24 }),
        (steps, chunks) => {
          const ram = tierOf(chunks)
          const blobs = new Map<string, Uint8Array>()
          for (const { seed, length, bytesPerToken, anchor, kind } of steps) {
            const chain = pieces(seed, length, seed % 2 ? 'odd' : 'even')
            if (kind === 'clear' && length === 1) ram.clear(chain[0]!.root)
            if (kind === 'read') read(ram, chain.at(-1)!)
            if (kind === 'put') {
              for (const [i, piece] of chain.entries()) {
                const blob = blobOf(piece, bytesPerToken)
                const last = i === chain.length - 1
                if (ram.put(piece, blob, { anchor: anchor && last }) === 'stored') blobs.set(piece.hash, blob)
              }
            }
            check(ram, blobs)
          }
        }
      ),
      { numRuns: 150 }
    )

    function check(ram: RamTier, blobs: Map<string, Uint8Array>) {
      const stats = ram.stats()
      let payload = 0
      let used = 0
      for (const entry of ram.index.values()) {
        const blob = ram.arena.read(entry.allocation, new Uint8Array(entry.bytes))
        if (Buffer.compare(blob, blobs.get(entry.hash)!) !== 0) t.fail('a wrong blob')
        payload += blob.length
        const chunks = Math.ceil(blob.length / CHUNK)
        used += chunks * CHUNK + chunks * 4 + entry.tokens.byteLength + ENTRY_OVERHEAD_BYTES
        const parent = ram.get(entry.parent)
        if (entry.anchor && parent && !parent.anchor) t.fail('an anchor hangs on a live piece')
      }
      if (stats.payloadBytes !== payload) t.equal(stats.payloadBytes, payload, 'payload')
      if (stats.usedBytes !== used) t.equal(stats.usedBytes, used, 'used')
      if (stats.heldBytes > stats.capBytes) t.fail('above the cap')
    }
  }
)
