import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import type { FromWorker, ToWorker } from '../../../src/engine/tiers/disk/protocol.js'
import type { WorkerPort } from '../../../src/engine/tiers/disk/worker-link.js'
import type { PieceChain, PieceMeta } from '../../../src/engine/tiers/piece.js'
import type { PieceRef, TierStore } from '../../../src/engine/tiers/store.js'
import {
  blobOf,
  bytesInFolder,
  chainOf,
  filesEnding,
  inThreadWorker,
  openStore,
  temporaryFolder,
  tokensOf
} from './support.js'

const LONG = process.env.OCTAVO_TEST_LONG === '1'

function putAll(store: TierStore, chain: PieceChain, flags: Parameters<TierStore['put']>[2] = {}, from = 0) {
  return chain.pieces(from).map(piece => store.put(piece, blobOf(piece), flags))
}

const span = (refs: PieceRef[]) => refs.map(({ start, usable, tier }) => [start, usable, tier])

t.test(
  'lookup finds the longest run, from any position, and cuts where the prompt goes another way',
  async t => {
    const store = openStore(null)
    const known = tokensOf(1, 1000)
    putAll(store, chainOf(known))
    t.strictSame(span(store.lookup(chainOf(known), 0)), [
      [0, 256, 'ram'],
      [256, 512, 'ram'],
      [512, 768, 'ram'],
      [768, 1000, 'ram']
    ])
    t.strictSame(span(store.lookup(chainOf(known), 300)).slice(0, 1), [[256, 512, 'ram']])
    t.strictSame(span(store.lookup(chainOf(known), 999)), [[768, 1000, 'ram']])
    t.strictSame(span(store.lookup(chainOf(known), 1000)), [], 'nothing goes beyond')
    t.strictSame(span(store.lookup(chainOf(known), 700, 769)), [
      [512, 768, 'ram'],
      [768, 769, 'ram']
    ])
    const other = Int32Array.from([...known.subarray(0, 400), ...tokensOf(2, 600)])
    t.strictSame(span(store.lookup(chainOf(other), 0)), [
      [0, 256, 'ram'],
      [256, 400, 'ram']
    ])
    t.strictSame(span(store.lookup(chainOf(other), 400)), [])
    t.strictSame(span(store.lookup(chainOf(known.subarray(0, 100)), 0)), [[0, 100, 'ram']])
    t.match(store.lookup(chainOf(other), 256)[0], { start: 256, end: 512, usable: 400 })
    t.strictSame(store.lookup(chainOf(new Int32Array(0)), 0), [])
  }
)

t.test('of several tails the one that agrees longest is taken', async t => {
  const store = openStore(null)
  const base = tokensOf(1, 256)
  const tail = tokensOf(2, 200)
  for (const [common, seed] of [
    [50, 3],
    [120, 4],
    [10, 5]
  ] as const) {
    putAll(store, chainOf(Int32Array.from([...base, ...tail.subarray(0, common), ...tokensOf(seed, 60)])))
  }
  const prompt = chainOf(Int32Array.from([...base, ...tail]))
  t.strictSame(span(store.lookup(prompt, 256)), [[256, 376, 'ram']])
  t.equal(store.stats().ram.pieces, 4, 'what they share is stored once')
})

t.test('pieces that must be whole are found only where all their tokens are', async t => {
  const store = openStore(null, { cuttable: false })
  const tokens = tokensOf(1, 600)
  putAll(store, chainOf(tokens.subarray(0, 560)))
  putAll(store, chainOf(tokens.subarray(0, 530)), {}, 512)
  t.strictSame(span(store.lookup(chainOf(tokens), 512)), [[512, 560, 'ram']])
  t.strictSame(span(store.lookup(chainOf(tokens.subarray(0, 550)), 512)), [[512, 530, 'ram']])
  t.strictSame(span(store.lookup(chainOf(tokens.subarray(0, 520)), 0)), [
    [0, 256, 'ram'],
    [256, 512, 'ram']
  ])
})

t.test('what was flushed is found after a restart, equal to the byte', async t => {
  const folder = temporaryFolder(t)
  const chain = chainOf(tokensOf(1, 1000))
  const first = openStore(folder)
  putAll(first, chain)
  const flushed = await first.close()
  t.match(flushed, { complete: true, pieces: 4 })
  const second = openStore(folder)
  await second.ready
  const refs = second.lookup(chain, 0)
  t.strictSame(
    refs.map(ref => ref.tier),
    ['disk', 'disk', 'disk', 'disk']
  )
  const pieces = chain.pieces(0)
  for (const [i, ref] of refs.entries()) t.strictSame(await second.load(ref), blobOf(pieces[i]!))
  t.ok(second.lookup(chain, 0).every(ref => ref.tier === 'ram'))
  t.match(second.stats().hits, { ram: 0, disk: 4 })
  const again = second.load(second.lookup(chain, 0)[0]!)
  t.ok(again instanceof Uint8Array, 'from memory at once')
  await second.close()
})

t.test('fetch, then load into a buffer', async t => {
  const folder = temporaryFolder(t)
  const chain = chainOf(tokensOf(1, 256))
  const first = openStore(folder)
  putAll(first, chain)
  await first.close()
  const second = openStore(folder)
  await second.ready
  const [ref] = second.lookup(chain, 0) as [PieceRef]
  t.strictSame(await Promise.all([second.fetch(ref), second.fetch(ref)]), [true, true])
  t.equal(second.stats().disk!.readPieces, 1, 'read once')
  const buffer = new Uint8Array(ref.bytes + 10)
  const loaded = second.load(ref, buffer) as Uint8Array
  t.equal(loaded.buffer, buffer.buffer)
  t.strictSame(loaded, blobOf(chain.piece(0, 256)))
  t.match(second.stats(), { hits: { ram: 0, disk: 1 }, failedLoads: 0 })
  await second.close()
})

t.test('no tenant finds what belongs to another: in memory, on disk, on its way there', async t => {
  const folder = temporaryFolder(t)
  const tokens = tokensOf(1, 700)
  const mine = chainOf(tokens, 'my key')
  const yours = chainOf(tokens, 'your key')
  let store = openStore(folder)
  await store.ready
  putAll(store, mine, { durable: true })
  t.equal(store.lookup(yours, 0).length, 0)
  t.equal(yours.pieces(0).filter(piece => store.has(piece.hash)).length, 0)
  t.equal(store.missReason(yours, 0), 'new', 'nor is told that there is anything')
  await store.close()
  store = openStore(folder)
  await store.ready
  t.equal(store.lookup(yours, 0).length, 0)
  t.equal(store.lookup(mine, 0).length, 3)
  for (const file of filesEnding(folder, '.kv')) {
    t.notOk(fs.readFileSync(file).includes('my key'))
  }
  putAll(store, yours)
  t.equal(store.clear({ salt: 'my key' }), 3)
  t.equal(store.lookup(mine, 0).length, 0)
  t.equal(store.lookup(yours, 0).length, 3)
  await store.close()
  store = openStore(folder)
  await store.ready
  t.equal(store.lookup(mine, 0).length, 0, 'nor after a restart')
  t.equal(store.lookup(yours, 0).length, 3)
  t.ok(store.clear() > 0)
  await store.close()
  t.strictSame(filesEnding(folder, '.kv'), [])
})

t.test('a turn writes only its own tokens, and a shared prefix is written once', async t => {
  const folder = temporaryFolder(t)
  const perToken = 100
  const store = openStore(folder, { writeBehindMs: 1 })
  await store.ready
  const system = tokensOf(0, 2560)
  const sessions = Array.from({ length: 12 }, () => system)
  let before = 0
  const writtenSince = async () => {
    await store.flush()
    const { writtenBytes } = store.stats().disk!
    const bytes = writtenBytes - before
    before = writtenBytes
    return bytes
  }
  putAll(store, chainOf(system), { anchor: true })
  const prefixBytes = await writtenSince()
  t.ok(prefixBytes < 2560 * perToken * 1.1)

  for (let turn = 1; turn <= 6; turn++) {
    for (const [i, before] of sessions.entries()) {
      const tokens = Int32Array.from([...before, ...tokensOf(turn * 100 + i, 300)])
      sessions[i] = tokens
      const chain = chainOf(tokens)
      // As the engine does: only what no tier has.
      for (const piece of chain.pieces(0))
        if (!store.has(piece.hash)) store.put(piece, blobOf(piece), { anchor: true })
    }
    const bytes = await writtenSince()
    // 300 new tokens, and the tail of the turn before, which is now part of a longer piece.
    const most = 12 * (300 + 255) * perToken * 1.1
    t.ok(bytes <= most && bytes >= 12 * 300 * perToken, `turn ${turn}: ${bytes} bytes of at most ${most}`)
  }
  const perSession = Math.ceil((6 * 300) / 256) + 1
  t.ok(store.stats().disk!.pieces <= 10 + 12 * perSession, 'tails of earlier turns are gone')
  t.equal(filesEnding(folder, '.kv').length, store.stats().disk!.pieces)
  await store.close()
})

t.test('anchors are on disk within seconds, with what they hang on; the rest waits', async t => {
  const folder = temporaryFolder(t)
  const store = openStore(folder, { writeBehindMs: 50 })
  await store.ready
  const chain = chainOf(tokensOf(1, 600))
  putAll(store, chainOf(tokensOf(2, 600)))
  const [first, second, third] = chain.pieces(0) as [PieceMeta, PieceMeta, PieceMeta]
  store.put(first, blobOf(first))
  store.put(second, blobOf(second), { anchor: true })
  store.put(third, blobOf(third))
  t.equal(store.stats().disk!.pieces, 0, 'not at once')
  await until(() => filesEnding(folder, '.kv').length === 2)
  await new Promise(resolve => setTimeout(resolve, 100))
  t.strictSame(
    filesEnding(folder, '.kv').map(file => path.basename(file, '.kv')),
    [first.hash, second.hash].sort()
  )
  store.put(third, blobOf(third), { durable: true })
  await until(() => filesEnding(folder, '.kv').length === 3)
  await store.close({ deadlineMs: 0 })
})

t.test('what was used again is written when it is evicted, and still to be had meanwhile', async t => {
  const folder = temporaryFolder(t)
  const store = openStore(folder, { ramBytes: 20 * 28_672 * 1.4 })
  await store.ready
  const used = chainOf(tokensOf(1, 512))
  const once = chainOf(tokensOf(2, 512))
  putAll(store, used)
  putAll(store, once)
  for (const ref of store.lookup(used, 0)) store.load(ref)
  let seed = 10
  while (store.lookup(used, 0).some(ref => ref.tier === 'ram')) putAll(store, chainOf(tokensOf(seed++, 256)))
  t.strictSame(span(store.lookup(used, 0)), [
    [0, 256, 'disk'],
    [256, 512, 'disk']
  ])
  t.strictSame(store.lookup(once, 0), [])
  t.equal(store.missReason(once, 0), 'evicted')
  t.equal(store.missReason(chainOf(tokensOf(9999, 512)), 0), 'new')
  const [ref] = store.lookup(used, 0) as [PieceRef]
  t.strictSame(await store.load(ref), blobOf(used.piece(0, 256)), 'before or after it is written')
  await store.close()
  t.ok(fs.existsSync(filesEnding(folder, `${used.hashAt(1)}.kv`)[0]!))
})

t.test('a miss because the model changed is told apart', async t => {
  const folder = temporaryFolder(t)
  const chain = chainOf(tokensOf(1, 256))
  const first = openStore(folder, { disk: { fingerprint: 'before' } })
  putAll(first, chain)
  await first.close()
  const second = openStore(folder)
  await second.ready
  t.strictSame(second.lookup(chain, 0), [])
  t.equal(second.missReason(chain, 0), 'model_changed')
  await second.close()
  t.equal(openStore(null, { ramBytes: 0 }).missReason(chain, 0), 'disabled')
})

t.test('files damaged behind the index are misses, reported once, removed', async t => {
  const folder = temporaryFolder(t)
  const chains = [1, 2, 3, 4].map(seed => chainOf(tokensOf(seed, 256)))
  const first = openStore(folder)
  for (const chain of chains) putAll(first, chain)
  await first.close()
  const told: string[] = []
  const store = openStore(folder, { onFault: fault => told.push(fault.kind) })
  await store.ready
  const refs = chains.map(chain => store.lookup(chain, 0)[0]!)
  const file = (i: number) => filesEnding(folder, `${refs[i]!.hash}.kv`)[0]!
  for (const i of [0, 1]) {
    const bytes = fs.readFileSync(file(i))
    bytes[9000]! ^= 1
    fs.writeFileSync(file(i), bytes)
  }
  fs.unlinkSync(file(2))
  t.equal(await store.load(refs[0]!), null)
  t.equal(await store.load(refs[1]!), null)
  t.equal(await store.load(refs[2]!), null)
  t.strictSame(await store.load(refs[3]!), blobOf(chains[3]!.piece(0, 256)))
  t.strictSame(told, ['checksum', 'vanished'])
  t.match(store.stats(), { failedLoads: 3, disk: { faults: { checksum: 2, vanished: 1 } } })
  for (const chain of chains.slice(0, 3)) t.strictSame(store.lookup(chain, 0), [])
  t.equal(filesEnding(folder, '.kv').length, 1)
  await store.close()
})

t.test('a worker that dies costs the disk tier’s answers, not the engine', async t => {
  const folder = temporaryFolder(t)
  const chain = chainOf(tokensOf(1, 256))
  const first = openStore(folder)
  putAll(first, chain)
  await first.close()

  /** Says it found a piece, then dies of the first read. */
  class Fragile {
    static lives = 0
    readonly #listeners: Record<string, (arg?: never) => void> = {}
    constructor() {
      Fragile.lives++
    }
    on(event: string, listener: (arg?: never) => void) {
      this.#listeners[event] = listener
    }
    postMessage(message: ToWorker) {
      const say = (answer: FromWorker) => this.#listeners.message?.(answer as never)
      setImmediate(() => {
        if (message.type === 'open') {
          const piece = { ...chain.piece(0, 256), anchor: false, blobBytes: 25_616 }
          say({ type: 'found', pieces: [piece] })
          const state = { totalBytes: 0, modelBytes: 0, writtenToday: 0 }
          say({ type: 'ready', state, foreign: [], ms: 0 })
        }
        if (message.type === 'read') this.#listeners.exit?.()
      })
    }
    unref() {}
    async terminate() {}
  }
  const told: string[] = []
  const store = openStore(folder, {
    spawn: () => new Fragile() as unknown as WorkerPort,
    onFault: fault => told.push(fault.kind)
  })
  await store.ready
  for (let i = 0; i < 4; i++) {
    await until(() => store.lookup(chain, 0).length === 1)
    t.equal(await store.load(store.lookup(chain, 0)[0]!), null)
  }
  t.equal(Fragile.lives, 4, 'replaced three times')
  t.strictSame(store.lookup(chain, 0), [])
  t.ok(told.includes('worker'))
  t.strictSame(putAll(store, chain, { durable: true }), ['stored'], 'memory goes on')
  t.match(await store.close(), { complete: false })
})

t.test('a read that hangs is a miss after a while', async t => {
  const folder = temporaryFolder(t)
  const chain = chainOf(tokensOf(1, 256))
  const silent: WorkerPort = {
    on: (event: string, listener: (message: never) => void) => {
      const piece = { ...chain.piece(0, 256), anchor: false, blobBytes: 25_616 }
      if (event === 'message') setImmediate(() => listener({ type: 'found', pieces: [piece] } as never))
    },
    postMessage() {},
    unref() {},
    async terminate() {}
  }
  const store = openStore(folder, { spawn: () => silent, readTimeoutMs: 20 })
  await until(() => store.lookup(chain, 0).length === 1)
  t.equal(await store.load(store.lookup(chain, 0)[0]!), null)
})

t.test('the daily budget and the cap bound what is written at the end', async t => {
  const folder = temporaryFolder(t)
  const store = openStore(folder, { disk: { dailyWriteBytes: 100_000 } })
  for (let seed = 0; seed < 20; seed++) putAll(store, chainOf(tokensOf(seed, 256)))
  const flushed = await store.close()
  t.equal(flushed.complete, false)
  t.ok(flushed.bytes <= 100_000 && flushed.bytes > 60_000)
  const other = temporaryFolder(t)
  const small = openStore(other, { disk: { capBytes: 200_000 } })
  for (let seed = 0; seed < 20; seed++) putAll(small, chainOf(tokensOf(seed, 256)))
  await small.close()
  t.ok(bytesInFolder(other) <= 200_000 && bytesInFolder(other) > 100_000)
})

t.test(
  'any sequence of operations, over restarts: never another blob, caps hold, files and index agree',
  async t => {
    const ramBytes = 400_000
    const diskCap = 600_000
    const operation = fc.record({
      kind: fc.constantFrom('put', 'put', 'put', 'put', 'load', 'load', 'flush', 'restart', 'clear'),
      salt: fc.constantFrom('', 'a', 'b'),
      // Prompts that share beginnings: a branch point, and what follows it.
      branch: fc.constantFrom(0, 1, 2),
      at: fc.constantFrom(40, 64, 100, 130),
      length: fc.integer({ min: 1, max: 260 }),
      anchor: fc.boolean(),
      durable: fc.boolean()
    })
    const grid = 32
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 40 }), fc.boolean(), async (steps, cuttable) => {
        const folder = temporaryFolder(t)
        const open = () =>
          openStore(folder, {
            ramBytes,
            grid,
            cuttable,
            chunkBytes: 1024,
            writeBehindMs: 1,
            spawn: inThreadWorker,
            disk: { capBytes: diskCap }
          })
        let store = open()
        await store.ready
        /** All that was ever put, by salt and prefix. */
        const truth = new Map<string, { meta: PieceMeta; blob: Uint8Array }>()
        const keyOf = (salt: string, tokens: Int32Array, end: number) => `${salt}:${tokens.subarray(0, end)}`
        try {
          for (const { kind, salt, branch, at, length, anchor, durable } of steps) {
            const trunk = tokensOf(0, Math.min(at, length))
            const tokens = Int32Array.from([...trunk, ...tokensOf(branch + 1, Math.max(0, length - at))])
            const chain = chainOf(tokens, salt, grid)
            if (kind === 'put') {
              for (const meta of chain.pieces(0)) {
                const blob = blobOf(meta, 60)
                truth.set(keyOf(salt, tokens, meta.start + meta.tokens.length), { meta, blob })
                store.put(meta, blob, { anchor, durable })
              }
            }
            if (kind === 'load') {
              const from = length % 50
              const refs = store.lookup(chain, from)
              let position = from - (from % grid)
              for (const ref of refs) {
                assert.equal(ref.start, position)
                position += grid
                assert.ok(ref.usable <= ref.end && ref.usable > ref.start)
                if (ref !== refs.at(-1)) assert.equal(ref.usable, position)
                if (!cuttable) assert.equal(ref.usable, ref.end)
                const loaded = await store.load(ref)
                if (loaded === null) continue
                const owner = [...truth.values()].find(({ meta }) => meta.hash === ref.hash)!
                const prefix = tokens.subarray(ref.start, ref.usable)
                assert.deepEqual(loaded, owner.blob)
                assert.deepEqual(owner.meta.tokens.subarray(0, prefix.length), prefix)
                assert.equal(owner.meta.root, chain.root)
              }
              if (refs.length > 0) assert.ok(refs.at(-1)!.usable > from)
            }
            if (kind === 'flush') await store.flush()
            if (kind === 'clear') {
              store.clear({ salt })
              assert.deepEqual(store.lookup(chain, 0), [])
            }
            if (kind === 'restart') {
              await store.close()
              store = open()
              await store.ready
            }
            const { ram, disk } = store.stats()
            assert.ok(ram.heldBytes <= ramBytes)
            assert.ok(disk!.queuedBytes <= ramBytes)
            assert.ok(bytesInFolder(folder) <= diskCap)
          }
          await store.flush()
          const { disk } = store.stats()
          assert.equal(filesEnding(folder, '.kv').length, disk!.pieces)
          assert.equal(disk!.queuedBytes, 0)
          assert.ok(Object.values(disk!.faults).every(count => count === 0))
        } finally {
          await store.close()
          fs.rmSync(folder, { recursive: true, force: true })
        }
      }),
      { numRuns: LONG ? 2000 : 60 }
    )
  }
)

async function until(holds: () => boolean, ms = 5000) {
  const end = Date.now() + ms
  while (!holds()) {
    if (Date.now() > end) throw new Error('did not come true')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
