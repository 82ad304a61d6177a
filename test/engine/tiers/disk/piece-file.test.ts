import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import type { Segment } from '../../../../src/engine/tiers/arena.js'
import {
  DamageError,
  fileBytes,
  fingerprintDigest,
  headBytes
} from '../../../../src/engine/tiers/disk/format.js'
import { readFile, scanFile, verifyFile, writeFile } from '../../../../src/engine/tiers/disk/piece-file.js'
import type { PieceMeta } from '../../../../src/engine/tiers/piece.js'
import { blobOf, chainOf, temporaryFolder, tokensOf } from '../support.js'

const LONG = process.env.OCTAVO_TEST_LONG === '1'
const MODEL = fingerprintDigest('this model')

function segmentsFor(bytes: number): Segment[] {
  const first = Math.min(100, bytes)
  return [
    { buffer: new SharedArrayBuffer(200), offset: 50, length: first },
    { buffer: new SharedArrayBuffer(bytes), offset: 0, length: bytes - first }
  ].filter(segment => segment.length > 0)
}

function joined(segments: Segment[]): Uint8Array {
  return new Uint8Array(Buffer.concat(segments.map(s => Buffer.from(s.buffer, s.offset, s.length))))
}

function write(folder: string, meta: PieceMeta, blob: Uint8Array): string {
  const final = path.join(folder, `${meta.hash}.kv`)
  const segments = segmentsFor(blob.length)
  let at = 0
  for (const { buffer, offset, length } of segments) {
    new Uint8Array(buffer, offset, length).set(blob.subarray(at, at + length))
    at += length
  }
  const header = { ...meta, anchor: true, blobBytes: blob.length, createdMs: 1_700_000_000_000 }
  writeFile({ temporary: `${final}.tmp`, final }, header, segments, MODEL)
  return final
}

/** What a reader gets: the blob, a kind of damage, or `collision`. Anything else is thrown. */
function attempt(file: string, meta: PieceMeta, bytes: number): Uint8Array | string {
  const segments = segmentsFor(bytes)
  try {
    const outcome = readFile(file, { meta, segments, usedMs: 1_700_000_000_000 }, MODEL)
    return outcome === 'ok' ? joined(segments) : outcome
  } catch (error) {
    if (error instanceof DamageError) return error.kind
    throw error
  }
}

function throws(run: () => unknown): boolean {
  try {
    run()
    return false
  } catch {
    return true
  }
}

const meta = chainOf(tokensOf(1, 300), 'a secret salt').piece(256, 300)
const blob = blobOf(meta, 20)

t.test('a piece is read as it was written', async t => {
  const folder = temporaryFolder(t)
  const file = write(folder, meta, blob)
  t.strictSame(attempt(file, meta, blob.length), blob)
  t.equal(fs.statSync(file).size, fileBytes(44, blob.length))
  t.strictSame(fs.readdirSync(folder), [path.basename(file)], 'no temporary file is left')
  const scanned = scanFile(file, MODEL, Buffer.alloc(64 * 1024))
  t.match(scanned.header, { ...meta, anchor: true, blobBytes: blob.length, createdMs: 1_700_000_000_000 })
  t.equal(scanned.usedMs, 1_700_000_000_000, 'reading it marked it as used')
  t.strictSame(scanFile(file, MODEL, Buffer.alloc(headBytes(1))).header, scanned.header, 'a long header')
  t.strictSame(verifyFile(file, MODEL), scanned.header)
  t.notOk(fs.readFileSync(file).includes('a secret salt'))
  if (process.platform !== 'win32') t.equal(fs.statSync(file).mode & 0o777, 0o600)
})

t.test('whatever is done to a file, a reader gets the blob or a refusal', async t => {
  const folder = temporaryFolder(t)
  const file = write(folder, meta, blob)
  const good = fs.readFileSync(file)
  const check = (bytes: Uint8Array) => {
    fs.writeFileSync(file, bytes)
    const result = attempt(file, meta, blob.length)
    const same = Buffer.compare(bytes, good) === 0
    if (same ? Buffer.compare(result as Uint8Array, blob) !== 0 : typeof result !== 'string') {
      t.fail('accepted what was not written', { result })
    }
    for (const look of [() => scanFile(file, MODEL, Buffer.alloc(4096)), () => verifyFile(file, MODEL)]) {
      try {
        look()
      } catch (error) {
        if (!(error instanceof DamageError)) throw error
      }
    }
  }

  for (let at = 0; at < good.length; at++) {
    const flipped = Buffer.from(good)
    flipped[at]! ^= 1 << (at % 8)
    check(flipped)
    if (at < headBytes(44)) {
      const scan = () => scanFile(file, MODEL, Buffer.alloc(4096))
      if (!throws(scan)) t.fail(`the index took over a flip of byte ${at}`)
    }
  }
  for (let length = 0; length < good.length; length += 7) check(good.subarray(0, length))
  check(Buffer.concat([good, Buffer.of(0)]))

  const edit = fc.record({
    at: fc.nat(good.length),
    remove: fc.nat(60),
    insert: fc.uint8Array({ maxLength: 60 })
  })
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), edits => {
      let bytes = good
      for (const { at, remove, insert } of edits) {
        bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)])
      }
      check(bytes)
    }),
    { numRuns: LONG ? 20_000 : 500 }
  )
  check(good)
  t.pass('every byte flipped, every seventh length, random edits')
})

t.test('even with its checksums made good, an edited file is refused', async t => {
  const folder = temporaryFolder(t)
  const file = write(folder, meta, blob)
  const good = fs.readFileSync(file)
  const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
  const edited = (change: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(good)
    change(bytes)
    const head = headBytes(44) - 32
    sha(bytes.subarray(0, head)).copy(bytes, head)
    sha(bytes.subarray(0, -32)).copy(bytes, bytes.length - 32)
    fs.writeFileSync(file, bytes)
    return attempt(file, meta, blob.length)
  }
  t.strictSame(
    edited(() => {}),
    blob
  )
  t.equal(
    edited(bytes => bytes.writeUInt32LE(2, 8)),
    'version'
  )
  t.equal(
    edited(bytes => bytes.writeInt32LE(77, 132)),
    'malformed',
    'other tokens'
  )
  t.equal(
    edited(bytes => bytes.writeUInt32LE(512, 16)),
    'collision',
    'another position'
  )
  t.equal(
    edited(bytes => bytes.write('00', 40, 'hex')),
    'collision',
    'another salt'
  )
  t.equal(
    edited(bytes => bytes.write('00', 100, 'hex')),
    'foreign'
  )
  t.equal(
    edited(bytes => bytes.writeBigUInt64LE(5n, 24)),
    'malformed',
    'another length'
  )
})

t.test('tokens are compared: a hash that matches is not enough', async t => {
  const file = write(temporaryFolder(t), meta, blob)
  const other = { ...meta, tokens: Int32Array.from(meta.tokens, token => token + 1) }
  t.equal(attempt(file, other, blob.length), 'collision')
})

t.test('a link under a piece’s name is not followed', { skip: process.platform === 'win32' }, async t => {
  const folder = temporaryFolder(t)
  const file = write(folder, meta, blob)
  const link = path.join(folder, 'link.kv')
  fs.symlinkSync(file, link)
  t.throws(() => attempt(link, meta, blob.length), { code: 'ELOOP' })
})

t.test('a write that fails leaves nothing', async t => {
  const folder = temporaryFolder(t)
  const paths = { temporary: path.join(folder, 'x.tmp'), final: path.join(folder, 'x.kv') }
  const header = { ...meta, anchor: false, blobBytes: blob.length, createdMs: 0 }
  let written = 0
  const io = {
    ...fs,
    writeSync(fd: number, bytes: NodeJS.ArrayBufferView, offset: number, length: number) {
      // As systems do: first a part of it, then the refusal.
      if (written > 500) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
      written += fs.writeSync(fd, bytes, offset, Math.min(length, 100))
      return Math.min(length, 100)
    }
  } as typeof fs
  t.throws(() => writeFile(paths, header, segmentsFor(blob.length), MODEL, io), { code: 'ENOSPC' })
  t.ok(written > 500)
  t.strictSame(fs.readdirSync(folder), [])
})
