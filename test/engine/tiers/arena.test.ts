import fc from 'fast-check'
import t from 'tap'
import { type Allocation, Arena } from '../../../src/engine/tiers/arena.js'

const CHUNK = 64

t.test('blobs come back as they went in, whatever is allocated and freed between', async t => {
  const operation = fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 5 * CHUNK }) },
    { weight: 2, arbitrary: fc.integer({ min: -40, max: -1 }) }
  )
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 120 }), fc.integer({ min: 1, max: 40 }), (steps, chunks) => {
      const arena = new Arena({ chunks, chunkBytes: CHUNK })
      const held: Array<{ allocation: Allocation; blob: Uint8Array }> = []
      let used = 0
      for (const [i, step] of steps.entries()) {
        if (step > 0) {
          const need = Math.ceil(step / CHUNK)
          const allocation = arena.allocate(step)
          t.equal(allocation !== null, used + need <= chunks, 'fails only when too few chunks are free')
          if (!allocation) continue
          const blob = new Uint8Array(step).fill(i + 1)
          arena.write(allocation, blob)
          held.push({ allocation, blob })
          used += need
        } else if (held.length > 0) {
          const [{ allocation }] = held.splice(-step % held.length, 1) as [(typeof held)[0]]
          used -= allocation.chunks.length
          arena.release(allocation)
        }
        t.equal(arena.usedChunks, used)
        t.ok(arena.committedBytes <= chunks * CHUNK)
      }
      for (const { allocation, blob } of held) {
        t.strictSame(arena.read(allocation, new Uint8Array(blob.length)), blob)
        const parts = arena.segments(allocation).map(s => Buffer.from(s.buffer, s.offset, s.length))
        t.strictSame(new Uint8Array(Buffer.concat(parts)), blob)
      }
    }),
    { numRuns: 60 }
  )
})

t.test('chunks are freed when the last holder lets go, and not twice', async t => {
  const arena = new Arena({ chunks: 2, chunkBytes: CHUNK })
  const allocation = arena.allocate(100)!
  arena.retain(allocation)
  arena.release(allocation)
  t.equal(arena.allocate(1), null)
  arena.release(allocation)
  t.throws(() => arena.release(allocation))
  t.equal(arena.usedChunks, 0)
  t.ok(arena.allocate(100))
})

t.test(
  'the next slab is touched elsewhere beforehand, and used at once when that takes too long',
  async t => {
    const slabs: SharedArrayBuffer[] = []
    let finish = () => {}
    const arena = new Arena({
      chunks: 1200,
      chunkBytes: 65_536,
      warm: slab => {
        slabs.push(slab)
        return new Promise<void>(resolve => {
          finish = resolve
        })
      }
    })
    t.equal(slabs.length, 1, 'the first one from the start')
    const first = arena.allocate(1)!
    t.equal(arena.segments(first)[0]!.buffer, slabs[0], 'no second slab while it is being touched')
    const before = finish
    const committed = arena.committedBytes
    before()
    await Promise.resolve()
    t.equal(arena.committedBytes, committed, 'adopted once')
    arena.allocate(300 * 65_536)
    t.equal(slabs.length, 2, 'the next one when half of the first is used')
    finish()
    await new Promise(setImmediate)
    const allocation = arena.allocate(300 * 65_536)!
    t.ok(arena.segments(allocation).some(segment => segment.buffer === slabs[1]))
    t.equal(arena.usedChunks, 601)
  }
)

t.test('memory that the system refuses makes the arena smaller, not the process end', async t => {
  const arena = new Arena({ chunks: 2 ** 20, chunkBytes: 2 ** 40 })
  t.equal(arena.allocate(1), null)
  t.equal(arena.maxChunks, 0)
  t.equal(arena.availableChunks, 0)
})
