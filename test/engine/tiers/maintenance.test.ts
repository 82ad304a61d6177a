import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { clearStore, listStore, trimStore, verifyStore } from '../../../src/engine/tiers/maintenance.js'
import { blobOf, chainOf, filesEnding, MODEL, openStore, temporaryFolder, tokensOf } from './support.js'

/** Two models; of the first two salts and an anchored chain. */
async function filled(t: Parameters<typeof temporaryFolder>[0]) {
  const folder = temporaryFolder(t)
  for (const fingerprint of [MODEL, 'other']) {
    const store = openStore(folder, { disk: { fingerprint, label: `${fingerprint}.gguf` } })
    await store.ready
    for (const salt of fingerprint === MODEL ? ['a', 'b'] : ['a']) {
      const chain = chainOf(tokensOf(1, 600), salt)
      const anchor = salt === 'b'
      for (const piece of chain.pieces(0)) store.put(piece, blobOf(piece), { anchor })
    }
    await store.close()
  }
  return folder
}

t.test('lists what every model holds', async t => {
  const folder = await filled(t)
  const reports = listStore(folder).sort((a, b) => b.pieces - a.pieces)
  t.match(reports, [
    { model: `${MODEL}.gguf`, fingerprint: MODEL, pieces: 6, temporary: 0 },
    { model: 'other.gguf', fingerprint: 'other', pieces: 3 }
  ])
  t.ok(Math.abs(reports[0]!.newestUseMs! - Date.now()) < 60_000)
  t.equal(reports[1]!.bytes, 2 * 28_672 + 12_288)
  t.strictSame(listStore(path.join(folder, 'nowhere')), [])
})

t.test('tells how often pieces were used, over restarts, by servers that ended in order', async t => {
  const folder = temporaryFolder(t)
  const chain = chainOf(tokensOf(1, 512))
  const first = openStore(folder)
  await first.ready
  for (const piece of chain.pieces(0)) first.put(piece, blobOf(piece))
  // Before they are on disk.
  for (let i = 0; i < 3; i++) first.touch(chain, 512)
  await first.close()
  t.equal(listStore(folder)[0]!.hits, 6)

  const second = openStore(folder)
  await second.ready
  second.touch(chain, 256)
  for (const ref of second.lookup(chain, 0)) t.ok(await second.load(ref))
  await second.close()
  t.equal(listStore(folder)[0]!.hits, 9)
  t.same(filesEnding(folder, '.tmp'), [])

  const [gone] = filesEnding(folder, '.kv') as [string]
  fs.unlinkSync(gone)
  t.ok([3, 4, 5, 6].includes(listStore(folder)[0]!.hits), 'of those that are there')
  const [hits] = filesEnding(folder, 'hits.json') as [string]
  for (const damage of ['{', '[]', 'null', '{"x":1}', `{"${chain.hashAt(0)}":"many"}`]) {
    fs.writeFileSync(hits, damage)
    t.equal(listStore(folder)[0]!.hits, 0, damage)
  }
})

t.test('verifies every byte, with progress, and removes only when asked', async t => {
  const folder = await filled(t)
  const steps: number[] = []
  t.match(await verifyStore(folder, { onProgress: ({ files }) => steps.push(files) }), {
    files: 9,
    damaged: []
  })
  t.strictSame(steps, [1, 2, 3, 4, 5, 6, 7, 8, 9])
  const [first, second] = filesEnding(folder, '.kv') as [string, string]
  const bytes = fs.readFileSync(first)
  bytes[bytes.length - 100]! ^= 1
  fs.writeFileSync(first, bytes)
  fs.truncateSync(second, 10)
  const { damaged } = await verifyStore(folder)
  t.strictSame(
    damaged.map(({ path, kind }) => [path, kind]),
    [
      [first, 'checksum'],
      [second, 'truncated']
    ]
  )
  t.equal(filesEnding(folder, '.kv').length, 9)
  await verifyStore(folder, { remove: true })
  t.equal(filesEnding(folder, '.kv').length, 7)
  t.match(await verifyStore(folder), { files: 7, damaged: [] })
})

t.test('a description changed by hand condemns no file', async t => {
  const folder = await filled(t)
  for (const about of filesEnding(folder, 'about.json')) fs.writeFileSync(about, '{"fingerprint":"another"}')
  t.match(await verifyStore(folder, { remove: true }), { files: 9, damaged: [] })
})

t.test('trims to a size: leaves first, anchors last', async t => {
  const folder = await filled(t)
  const total = listStore(folder).reduce((sum, { bytes }) => sum + bytes, 0)
  t.strictSame(await trimStore(folder, total), { files: 0, bytes: 0 })
  const { files, bytes } = await trimStore(folder, 80_000)
  t.ok(total - bytes <= 80_000)
  t.equal(filesEnding(folder, '.kv').length, 9 - files)
  const anchors = new Set(
    chainOf(tokensOf(1, 600), 'b')
      .pieces(0)
      .map(piece => `${piece.hash}.kv`)
  )
  t.ok(filesEnding(folder, '.kv').every(file => anchors.has(path.basename(file))))
  await trimStore(folder, 0)
  t.strictSame(filesEnding(folder, '.kv'), [])
})

t.test('clears everything, one model, or one salt', async t => {
  const folder = await filled(t)
  t.match(await clearStore(folder, { salt: 'b' }), { files: 3 })
  const { folder: other } = listStore(folder).find(({ fingerprint }) => fingerprint === 'other')!
  t.match(await clearStore(folder, { folder: other, salt: 'b' }), { files: 0 })
  t.match(await clearStore(folder, { folder: other }), { files: 3 })
  t.equal(filesEnding(folder, '.kv').length, 3)
  t.match(await clearStore(folder), { files: 3 })
})

t.test('clearing beside a running engine costs it misses, nothing else', async t => {
  const folder = temporaryFolder(t)
  const store = openStore(folder)
  await store.ready
  const chain = chainOf(tokensOf(1, 600))
  for (const piece of chain.pieces(0)) store.put(piece, blobOf(piece))
  await store.flush()
  await clearStore(folder)
  const [piece] = chainOf(tokensOf(2, 256)).pieces(0)
  store.put(piece!, blobOf(piece!))
  await store.flush()
  t.equal(store.stats().disk!.pieces, 1, 'noticed at the next write')
  await store.close()
})
