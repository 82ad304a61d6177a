import nodeFs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { Segment } from '../../../../src/engine/tiers/arena.js'
import { DiskCore } from '../../../../src/engine/tiers/disk/core.js'
import { newEngineId } from '../../../../src/engine/tiers/disk/names.js'
import type { FileSystem } from '../../../../src/engine/tiers/disk/piece-file.js'
import type { CoreOptions, FromWorker, WriteOutcome } from '../../../../src/engine/tiers/disk/protocol.js'
import type { PieceMeta } from '../../../../src/engine/tiers/piece.js'
import { blobOf, bytesInFolder, chainOf, filesEnding, temporaryFolder, tokensOf } from '../support.js'

type Sent<T extends FromWorker['type']> = Extract<FromWorker, { type: T }>

/** A core in this thread, with what it said. */
class Harness {
  readonly said: FromWorker[] = []
  readonly core: DiskCore
  readonly folder: string

  constructor(
    folder: string,
    options: Partial<CoreOptions> = {},
    seams: { fs?: FileSystem; now?: () => number } = {}
  ) {
    this.folder = folder
    this.core = new DiskCore(message => this.said.push(message), seams)
    this.core.handle({
      type: 'open',
      options: {
        folder,
        fingerprint: 'm',
        engine: newEngineId(),
        label: 'm',
        capBytes: 1e9,
        dailyWriteBytes: null,
        ...options
      }
    })
  }

  write(meta: PieceMeta, more: { anchor?: boolean; supersedes?: string[]; bytesPerToken?: number } = {}) {
    const blob = blobOf(meta, more.bytesPerToken)
    const segments = [segmentOf(blob)]
    const { anchor = false, supersedes = [] } = more
    this.core.handle({ type: 'write', id: 1, meta, anchor, segments, bytes: blob.length, supersedes })
    return (this.said.at(-1) as Sent<'wrote'>).outcome
  }

  read(meta: PieceMeta, bytesPerToken?: number): Uint8Array | string {
    const segments = [segmentOf(new Uint8Array(blobOf(meta, bytesPerToken).length))]
    this.core.handle({ type: 'read', id: 2, meta, segments })
    const { outcome } = this.said.at(-1) as Sent<'read'>
    return outcome === 'ok' ? new Uint8Array(segments[0]!.buffer).slice() : outcome
  }

  of<T extends FromWorker['type']>(type: T): Array<Sent<T>> {
    return this.said.filter((message): message is Sent<T> => message.type === type)
  }

  get faults(): string[] {
    return this.of('fault').map(({ fault }) => fault.kind)
  }

  close() {
    this.core.handle({ type: 'close', id: 3 })
  }
}

function segmentOf(blob: Uint8Array): Segment {
  const buffer = new SharedArrayBuffer(blob.length)
  new Uint8Array(buffer).set(blob)
  return { buffer, offset: 0, length: blob.length }
}

function piece(seed: number, length = 256): PieceMeta {
  return chainOf(tokensOf(seed, length)).piece(0, length)
}

function failing(code: string, method: keyof FileSystem, when = () => true): FileSystem {
  return {
    ...nodeFs,
    [method]: (...args: never[]) => {
      if (when()) throw Object.assign(new Error(code), { code })
      return (nodeFs[method] as (...args: never[]) => unknown)(...args)
    }
  } as FileSystem
}

t.test('what is written is found again by the next engine', async t => {
  const folder = temporaryFolder(t)
  const first = new Harness(folder)
  t.equal(first.write(piece(1), { anchor: true }), 'written')
  t.equal(first.write(piece(1)), 'known')
  t.equal(first.write(piece(2, 40)), 'written')
  first.close()
  const second = new Harness(folder)
  const found = second.of('found').flatMap(message => message.pieces)
  t.equal(found.length, 2)
  t.match(
    found.find(each => each.hash === piece(1).hash),
    { ...piece(1), anchor: true, blobBytes: 25_616 }
  )
  t.strictSame(second.read(piece(1)), blobOf(piece(1)))
  t.strictSame(second.read(piece(2, 40)), blobOf(piece(2, 40)))
  t.equal(second.of('ready')[0]!.state.totalBytes, bytesInFolder(folder))
})

t.test('another model has a folder of its own, and its files are none of ours', async t => {
  const folder = temporaryFolder(t)
  new Harness(folder).write(piece(1))
  const other = new Harness(folder, { fingerprint: 'n' })
  t.strictSame(other.of('found'), [])
  t.strictSame(other.of('ready')[0]!.foreign, [piece(1).hash])
  t.equal(other.read(piece(1)), 'vanished')
  // Somebody moves the file over by hand.
  const [file] = filesEnding(folder, '.kv')
  const [, stranger] = nodeFs
    .readdirSync(folder)
    .filter(name => name.startsWith('model-'))
    .map(name => path.join(folder, name))
    .sort(a => (file!.startsWith(a) ? -1 : 1))
  nodeFs.copyFileSync(file!, path.join(stranger!, path.basename(file!)))
  other.close()
  const again = new Harness(folder, { fingerprint: 'n' })
  t.strictSame(again.of('found'), [])
  t.strictSame(again.faults, ['foreign'])
  t.strictSame(filesEnding(folder, '.kv'), [file], 'the foreign file is removed, the original stays')
})

t.test('damaged files are reported, removed and not found', async t => {
  const folder = temporaryFolder(t)
  const first = new Harness(folder)
  for (const seed of [1, 2, 3, 4]) first.write(piece(seed))
  const byHash = (seed: number) => filesEnding(folder, `${piece(seed).hash}.kv`)[0]!
  nodeFs.truncateSync(byHash(1), 1000)
  nodeFs.truncateSync(byHash(2), 50)
  nodeFs.renameSync(byHash(3), path.join(path.dirname(byHash(3)), `${'0'.repeat(40)}.kv`))
  const bytes = nodeFs.readFileSync(byHash(4))
  bytes[5000]! ^= 4
  nodeFs.writeFileSync(byHash(4), bytes)
  first.close()

  const second = new Harness(folder)
  t.strictSame(second.faults.sort(), ['malformed', 'truncated', 'truncated'])
  t.strictSame(
    second.of('found').flatMap(message => message.pieces.map(each => each.hash)),
    [piece(4).hash],
    'a flipped bit in a blob shows when it is read'
  )
  t.equal(second.read(piece(4)), 'checksum')
  t.strictSame(second.of('gone').at(-1), { type: 'gone', hashes: [piece(4).hash], why: 'damaged' })
  t.strictSame(filesEnding(folder, '.kv'), [])
})

t.test('what others put into the folder is left alone', async t => {
  const folder = temporaryFolder(t)
  new Harness(folder).close()
  const model = path.join(folder, nodeFs.readdirSync(folder).find(name => name.startsWith('model-'))!)
  const strangers = ['thesis.pdf', 'x.kv', `${'a'.repeat(39)}.kv`, '.hidden.tmp'].map(name =>
    path.join(model, name)
  )
  strangers.push(path.join(folder, 'thesis.kv'), path.join(folder, `${'a'.repeat(40)}.kv`))
  for (const file of strangers) nodeFs.writeFileSync(file, 'mine')
  nodeFs.mkdirSync(path.join(model, `${'b'.repeat(40)}.kv`))
  const core = new Harness(folder, { capBytes: 40_000 })
  for (let seed = 0; seed < 5; seed++) core.write(piece(seed))
  for (const file of strangers) t.equal(nodeFs.readFileSync(file, 'utf8'), 'mine', path.basename(file))
})

t.test('temporary files of dead writers are removed, those of living ones are not', async t => {
  const folder = temporaryFolder(t)
  const first = new Harness(folder)
  first.write(piece(1))
  first.close()
  const model = path.dirname(filesEnding(folder, '.kv')[0]!)
  const host = newEngineId().split('-')[0]
  const name = (engine: string, n: number) => path.join(model, `.${String(n).repeat(40)}.${engine}.tmp`)
  const dead = name(`${host}-4194305-00000000`, 1)
  const alive = name(`${host}-${process.pid}-00000000`, 2)
  const elsewhere = name('00000000-1-00000000', 3)
  const elsewhereOld = name('00000000-1-00000000', 4)
  for (const file of [dead, alive, elsewhere, elsewhereOld]) nodeFs.writeFileSync(file, 'x')
  nodeFs.utimesSync(elsewhereOld, 1000, 1000)
  new Harness(folder)
  t.strictSame(filesEnding(folder, '.tmp'), [alive, elsewhere].sort())
})

t.test('the cap holds on the real disk, at the start and before each write', async t => {
  const folder = temporaryFolder(t)
  const cap = 150_000
  let now = Date.now()
  const first = new Harness(folder, { capBytes: cap }, { now: () => now++ })
  for (let seed = 0; seed < 40; seed++) {
    t.equal(first.write(piece(seed)), 'written')
    if (bytesInFolder(folder) > cap) t.fail('above the cap')
  }
  t.ok(bytesInFolder(folder) > cap / 2)
  t.equal(first.write(piece(99), { bytesPerToken: 1000 }), 'too_large')
  first.close()
  const other = new Harness(folder, { capBytes: cap, fingerprint: 'another' })
  for (let seed = 0; seed < 10; seed++) {
    t.equal(other.write(piece(seed)), 'written', 'files of a model that is not used any more make room')
    if (bytesInFolder(folder) > cap) t.fail('above the cap')
  }
  other.close()
  const smaller = new Harness(folder, { capBytes: 70_000 })
  t.ok(bytesInFolder(folder) <= 70_000)
  t.equal(smaller.of('ready')[0]!.state.totalBytes, bytesInFolder(folder))
  smaller.close()
  new Harness(folder, { capBytes: 0 })
  t.strictSame(filesEnding(folder, '.kv'), [])
})

t.test('superseded tails go before anything else, and once they are replaced', async t => {
  const folder = temporaryFolder(t)
  const core = new Harness(folder, { capBytes: 28_672 * 3 + 4096 })
  const chain = chainOf(tokensOf(1, 256))
  const tail = chain.piece(0, 250)
  core.write(tail)
  core.write(piece(2))
  core.write(piece(3))
  t.equal(core.write(chain.piece(0, 256), { supersedes: [tail.hash] }), 'written')
  t.strictSame(
    core.of('gone').map(({ why, hashes }) => [why, hashes]),
    [['superseded', [tail.hash]]]
  )
  t.equal(typeof core.read(piece(2)), 'object')
})

t.test('the daily budget holds over restarts and days, for all engines together', async t => {
  const folder = temporaryFolder(t)
  let now = Date.UTC(2025, 0, 1, 23, 0)
  const options = { dailyWriteBytes: 60_000 }
  const seams = { now: () => now }
  const first = new Harness(folder, options, seams)
  t.equal(first.write(piece(1)), 'written')
  const second = new Harness(folder, options, seams)
  t.equal(second.write(piece(2)), 'written')
  t.equal(second.write(piece(3)), 'budget')
  first.close()
  second.close()
  const third = new Harness(folder, options, seams)
  t.equal(third.write(piece(3)), 'budget', 'after a restart')
  t.ok(third.of('ready')[0]!.state.writtenToday > 50_000)
  // Left without a word, as after kill -9; this process being alive, its record stays as it is.
  const fourth = new Harness(folder, options, seams)
  t.equal(fourth.write(piece(3)), 'budget')
  now += 2 * 3600_000
  t.equal(fourth.write(piece(3)), 'written', 'the next day')
  t.equal(third.write(piece(4)), 'written')
  t.equal(third.write(piece(5)), 'budget')
})

t.test('a full, read-only or failing disk is an answer', async t => {
  const cases: Array<[string, keyof FileSystem, WriteOutcome]> = [
    ['ENOSPC', 'writeSync', 'no_space'],
    ['EDQUOT', 'writeSync', 'no_space'],
    ['EROFS', 'openSync', 'read_only'],
    ['EACCES', 'openSync', 'read_only'],
    ['EMFILE', 'openSync', 'no_handles'],
    ['EIO', 'renameSync', 'io']
  ]
  for (const [code, method, outcome] of cases) {
    const folder = temporaryFolder(t)
    let broken = false
    const core = new Harness(folder, {}, { fs: failing(code, method, () => broken) })
    core.write(piece(1))
    broken = true
    t.equal(core.write(piece(2)), outcome, code)
    t.strictSame(core.faults, [outcome])
    t.strictSame(filesEnding(folder, '.tmp'), [], 'nothing is left behind')
    broken = false
    t.equal(core.write(piece(2)), 'written', 'and later it works again')
    t.strictSame(core.read(piece(1)), blobOf(piece(1)))
  }
})

t.test('a read that the system refuses is a miss, and the file stays', async t => {
  for (const [code, kind] of [
    ['EMFILE', 'no_handles'],
    ['ENFILE', 'no_handles'],
    ['EIO', 'io']
  ] as const) {
    const folder = temporaryFolder(t)
    let broken = false
    const core = new Harness(folder, {}, { fs: failing(code, 'openSync', () => broken) })
    core.write(piece(1))
    broken = true
    t.equal(core.read(piece(1)), kind)
    broken = false
    t.strictSame(core.read(piece(1)), blobOf(piece(1)))
  }
})

t.test('a file that cannot be removed does not make the cap a lie', async t => {
  const folder = temporaryFolder(t)
  const core = new Harness(folder, { capBytes: 60_000 }, { fs: failing('EPERM', 'unlinkSync') })
  core.write(piece(1))
  t.equal(core.write(piece(2)), 'no_room')
  t.ok(bytesInFolder(folder) <= 60_000)
})

t.test('a folder that is removed while the engine runs is made again', async t => {
  const folder = temporaryFolder(t)
  const core = new Harness(folder)
  core.write(piece(1))
  nodeFs.rmSync(folder, { recursive: true })
  t.equal(core.read(piece(1)), 'vanished')
  t.equal(core.write(piece(2)), 'written')
  t.strictSame(core.read(piece(2)), blobOf(piece(2)))
  core.write(piece(3))
  nodeFs.rmSync(path.dirname(filesEnding(folder, '.kv')[0]!), { recursive: true })
  t.equal(core.write(piece(4)), 'written')
  const gone = core.of('gone').flatMap(message => message.hashes)
  t.ok(
    [1, 2, 3].every(seed => gone.includes(piece(seed).hash)),
    'what is lost is told'
  )
  t.equal((core.said.at(-1) as Sent<'wrote'>).state.totalBytes, bytesInFolder(folder))
})

t.test('engines that share a folder see each other, and keep the cap together', async t => {
  const folder = temporaryFolder(t)
  const cap = 300_000
  const engines = [1, 2, 3].map(() => new Harness(folder, { capBytes: cap }))
  for (let seed = 0; seed < 60; seed++) {
    const outcome = engines[seed % 3]!.write(piece(seed))
    t.ok(outcome === 'written', outcome)
    if (bytesInFolder(folder) > cap) t.fail('above the cap')
  }
  const last = piece(59)
  t.ok(bytesInFolder(folder) <= cap - 2 * 28_672, 'with room for what the two others may be writing now')
  t.strictSame(engines[0]!.read(last), blobOf(last))
  t.equal(engines[1]!.write(last), 'known', 'nothing is written twice')
  const found = engines[1]!.of('found').flatMap(message => message.pieces.map(each => each.hash))
  t.ok(found.includes(last.hash), 'and it is in the index of the engine that did not write it')
})

t.test('a folder that cannot be made leaves an engine without a disk tier, no more', async t => {
  const folder = temporaryFolder(t)
  const file = path.join(folder, 'a file')
  nodeFs.writeFileSync(file, '')
  const core = new Harness(path.join(file, 'below'))
  t.equal(core.of('ready').length, 1)
  t.equal(core.write(piece(1)), 'vanished')
  t.equal(core.read(piece(1)), 'vanished')
})
