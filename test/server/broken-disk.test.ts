import { chmodSync, readdirSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import {
  type Asked,
  ask,
  type CachedServer,
  COMMON,
  cacheFolder,
  cacheHealth,
  pieceFiles,
  startCached,
  writtenPieces
} from '../support/cached-server.js'

const posix = { skip: process.platform === 'win32' && 'needs a POSIX shell' }
/** Tokens that neither a disk nor a computation gave. */
const inMemory = ({ source }: Asked) => source.resident + source.ram
/** Nobody: root may write everywhere. */
const NOBODY = 65_534

t.test('a cache folder that cannot be written is read, and the server serves', posix, async t => {
  const folder = cacheFolder(t)
  const writer = await startCached(t, folder)
  await ask(writer, 'delta')
  await writer.end()
  const everything = [folder, ...readdirSync(folder, { recursive: true, encoding: 'utf8' })]
  const protect = (file: number, directory: number) => {
    for (const name of everything) {
      const at = path.resolve(folder, name)
      const stat = statSync(at, { throwIfNoEntry: false })
      if (stat) chmodSync(at, stat.isDirectory() ? directory : file)
    }
  }
  protect(0o444, 0o555)
  t.teardown(() => protect(0o600, 0o700))
  const root = process.getuid?.() === 0
  const server = await startCached(t, folder, {}, root ? { uid: NOBODY } : {}).catch(() => null)
  if (!server) {
    t.comment('not tested: another user may not run the program here')
    return
  }
  const back = await ask(server, 'delta')
  t.equal(back.source.disk, back.promptTokens - 1, 'what is there is used')
  t.ok((await ask(server, 'epsilon')).cached <= COMMON)
  t.ok(inMemory(await ask(server, 'epsilon')) > COMMON)
  await writeFailed(server, 'read_only')
  t.match(await cacheHealth(server), { disk: { faults: { read_only: Number }, paused: true } })
  await server.end()
})

t.test('a full disk costs what would have been written, nothing else', posix, async t => {
  const folder = cacheFolder(t)
  // No file may grow beyond half a megabyte, and a piece has one: as a full disk, in the middle of a write.
  const through = ['/bin/sh', '-c', 'trap \'\' XFSZ; ulimit -f 1024; exec "$@"', 'sh']
  const server = await startCached(t, folder, {}, { through })
  const cold = await ask(server, 'zeta')
  t.equal(cold.cached, 0)
  await writeFailed(server, 'no_space')
  t.match(await cacheHealth(server), { disk: { faults: { no_space: Number }, paused: true } })
  t.ok(inMemory(await ask(server, 'zeta')) > COMMON)
  await server.end()
  t.same(pieceFiles(folder), [], 'no part of a piece has stayed')
  const left = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name =>
    name.endsWith('.tmp')
  )
  t.same(left, [])
})

t.test('a folder removed while it is in use', async t => {
  const folder = cacheFolder(t)
  const server = await startCached(t, folder)
  await ask(server, 'eta')
  await writtenPieces(folder, 3)
  rmSync(path.join(folder, 'prefixes'), { recursive: true })
  t.ok(inMemory(await ask(server, 'eta')) > COMMON)
  t.ok((await ask(server, 'theta')).cached <= COMMON)
  await server.end()
})

/** Waits until a write has failed and writing stands still: anchors are written some seconds after their making. */
async function writeFailed(server: CachedServer, kind: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    // Statistics are published with steps.
    await ask(server, 'again')
    const { disk } = await cacheHealth(server)
    if (disk.faults[kind] && disk.paused) return
    await setTimeout(50)
  }
}
