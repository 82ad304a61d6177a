import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { TierStore } from '../../../src/engine/tiers/store.js'
import {
  blobOf,
  bytesInFolder,
  chainOf,
  filesEnding,
  openStore,
  temporaryFolder,
  tokensOf
} from './support.js'

const ROUNDS = process.env.OCTAVO_TEST_LONG === '1' ? 100 : 6
const CAP = 2_000_000
const CHILD = fileURLToPath(new URL('./kill-child.js', import.meta.url))

/** Starts writers and kills them in the middle of it, after `ms`. */
async function writeAndKill(folder: string, seeds: number[], ms: number) {
  const children = seeds.map(seed =>
    spawn(process.execPath, [CHILD, folder, String(seed), String(CAP)], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
  )
  await Promise.all(children.map(child => once(child.stdout!, 'data')))
  await new Promise(resolve => setTimeout(resolve, ms))
  const ended = children.map(child => once(child, 'exit'))
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(ended)
}

/** Reads everything the index names. Returns how many pieces were right. */
async function readAll(store: TierStore, seed: number): Promise<number> {
  let right = 0
  for (let i = 0; i < 40; i++) {
    const chain = chainOf(tokensOf(seed * 1000 + i, 256 + 500))
    for (const ref of store.lookup(chain, 0)) {
      const loaded = await store.load(ref)
      if (loaded === null) continue
      const expected = blobOf(chainOf(chain.tokens.subarray(0, ref.end)).piece(ref.start, ref.end))
      if (Buffer.compare(loaded, expected) !== 0) throw new Error(`a wrong blob for ${ref.hash}`)
      right++
    }
  }
  return right
}

t.test(`kill -9 during writes, ${ROUNDS} rounds`, { timeout: 600_000 }, async t => {
  const folder = temporaryFolder(t)
  let leftOver = 0
  let read = 0
  for (let round = 0; round < ROUNDS; round++) {
    const seeds = round % 3 === 2 ? [round, round + 1000] : [round]
    await writeAndKill(folder, seeds, 20 + ((round * 73) % 200))
    leftOver += filesEnding(folder, '.tmp').length
    t.ok(bytesInFolder(folder) <= CAP, 'the cap holds at the moment of death')
    const store = openStore(folder, { disk: { capBytes: CAP } })
    await store.ready
    for (const seed of seeds) read += await readAll(store, seed)
    const { disk } = store.stats()
    t.strictSame(
      Object.entries(disk!.faults).filter(([, count]) => count > 0),
      [],
      'no file is damaged: each has its name only when it is complete'
    )
    t.strictSame(filesEnding(folder, '.tmp'), [], 'nothing leaks')
    await store.close()
    t.equal(filesEnding(folder, '.kv').length, store.stats().disk!.pieces)
    t.ok(bytesInFolder(folder) <= CAP)
  }
  t.comment(`${leftOver} temporary files were left by the dead, ${read} pieces read back`)
  t.ok(read > ROUNDS)
})
