import fs from 'node:fs'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import t from 'tap'
import { fingerprintDigest } from '../../../src/engine/tiers/disk/format.js'
import { modelFolder } from '../../../src/engine/tiers/disk/names.js'
import { writeFile } from '../../../src/engine/tiers/disk/piece-file.js'
import type { PieceRef } from '../../../src/engine/tiers/store.js'
import { blobOf, chainOf, MODEL, openStore, temporaryFolder, tokensOf } from './support.js'

const LONG = process.env.OCTAVO_TEST_LONG === '1'

t.test('the index is rebuilt in milliseconds per thousand files', { timeout: 300_000 }, async t => {
  for (const count of LONG ? [1000, 10_000] : [1000]) {
    const folder = temporaryFolder(t)
    const model = path.join(folder, modelFolder(MODEL))
    fs.mkdirSync(model)
    const digest = fingerprintDigest(MODEL)
    for (let seed = 0; seed < count; seed++) {
      const meta = chainOf(tokensOf(seed, 256)).piece(0, 256)
      const blob = blobOf(meta, 8)
      const buffer = new SharedArrayBuffer(blob.length)
      new Uint8Array(buffer).set(blob)
      const paths = { temporary: path.join(model, 'x'), final: path.join(model, `${meta.hash}.kv`) }
      const header = { ...meta, anchor: false, blobBytes: blob.length, createdMs: 0 }
      writeFile(paths, header, [{ buffer, offset: 0, length: blob.length }], digest)
    }
    const store = openStore(folder)
    await store.ready
    const { pieces, indexMs } = store.stats().disk!
    t.equal(pieces, count)
    t.comment(`${count} files: ${indexMs!.toFixed(0)} ms`)
    t.ok(indexMs! < count * 0.5, 'well below a millisecond for each, on a loaded machine too')
    const began = performance.now()
    for (let seed = 0; seed < 100; seed++) store.lookup(chainOf(tokensOf(seed, 256)), 0)
    const us = (performance.now() - began) * 10
    t.comment(`lookup among ${count} pieces after the same parent: ${us.toFixed(0)} us`)
    await store.close()
  }
})

t.test('the loop is not held up while pieces are written without end', { timeout: 60_000 }, async t => {
  const folder = temporaryFolder(t)
  const store = openStore(folder, { ramBytes: 64 << 20, chunkBytes: 65_536, disk: { capBytes: 256 << 20 } })
  await store.ready
  const blob = new Uint8Array(1 << 20).fill(7)
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const steps: number[] = []
  const end = Date.now() + (LONG ? 10_000 : 2000)
  delay.enable()
  for (let seed = 0; Date.now() < end; seed++) {
    const began = performance.now()
    const [piece] = chainOf(tokensOf(seed, 256)).pieces(0)
    store.put(piece!, blob, { durable: true })
    steps.push(performance.now() - began)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  delay.disable()
  const { writtenBytes, skipped } = store.stats().disk!
  steps.sort((a, b) => a - b)
  const at = (share: number) => steps[Math.floor(steps.length * share)]!.toFixed(2)
  t.comment(
    `${(writtenBytes / 1e6).toFixed(0)} MB written; loop delay p50 ${(delay.percentile(50) / 1e6).toFixed(2)} ms, ` +
      `p99 ${(delay.percentile(99) / 1e6).toFixed(2)} ms; put of 1 MiB p50 ${at(0.5)} ms, p95 ${at(0.95)} ms; ` +
      `skipped ${JSON.stringify(skipped)}`
  )
  t.ok(writtenBytes > 20e6)
  t.ok(delay.percentile(50) < 10e6)
  await store.close({ deadlineMs: 100 })
})

t.test('a piece from memory and from disk', { timeout: 60_000 }, async t => {
  const folder = temporaryFolder(t)
  const options = { ramBytes: 128 << 20, chunkBytes: 65_536 }
  const blob = new Uint8Array(1 << 20).fill(7)
  const chain = chainOf(tokensOf(1, 256 * 64))
  const first = openStore(folder, options)
  await first.ready
  for (const piece of chain.pieces(0)) first.put(piece, blob)
  const began = performance.now()
  t.match(await first.close(), { complete: true, pieces: 64 })
  const flushMs = performance.now() - began

  const second = openStore(folder, options)
  await second.ready
  const timed = async (run: (ref: PieceRef) => unknown) => {
    const times: number[] = []
    for (const ref of second.lookup(chain, 0)) {
      const began = performance.now()
      await run(ref)
      times.push(performance.now() - began)
    }
    return times.sort((a, b) => a - b)[times.length >> 1]!
  }
  const disk = await timed(ref => second.fetch(ref))
  const staging = new Uint8Array(1 << 20).fill(1)
  const memory = await timed(ref => void second.load(ref, staging))
  t.comment(
    `1 MiB, p50: from disk (page cache) ${disk.toFixed(2)} ms, from memory ${memory.toFixed(2)} ms; ` +
      `64 MiB flushed in ${flushMs.toFixed(0)} ms`
  )
  t.ok(memory < disk)
  await second.close()
})
