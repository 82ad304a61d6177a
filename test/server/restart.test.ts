import t from 'tap'
import {
  ask,
  COMMON,
  cacheFolder,
  cacheHealth,
  startCached,
  writtenPieces
} from '../support/cached-server.js'

const keys = { OCTAVO_API_KEY: 'one,two,three' }

t.test('after a restart the prefix comes from disk, for the key that it belongs to', async t => {
  const folder = cacheFolder(t)
  const first = await startCached(t, folder, keys)
  t.match(first.ready.cache, { ram: 200 * 2 ** 20, disk: { pieces: 0 } }, 'the start tells the tiers')
  const cold = await ask(first, 'alpha', { key: 'one' })
  t.same(cold.source, { resident: 0, ram: 0, disk: 0, miss: 'new' })
  t.equal(cold.header, 'resident=0; ram=0; disk=0; miss=new')
  const hot = await ask(first, 'alpha', { key: 'one' })
  t.same(hot.source, { resident: hot.promptTokens - 1, ram: 0, disk: 0, miss: null })
  const foreign = await ask(first, 'alpha', { key: 'two' })
  t.same(foreign.source, cold.source, 'another key has nothing of it, and is not told that somebody has')
  await ask(first, 'beta', { key: 'two' })
  await first.end()

  const second = await startCached(t, folder, keys)
  t.ok(second.ready.cache!.disk!.pieces >= 6, `${second.ready.cache!.disk!.pieces} pieces found at the start`)
  t.ok((await cacheHealth(second)).disk.used > 0)
  for (const topic of ['alpha', 'beta']) {
    const { source } = await ask(second, topic, { key: 'three' })
    t.ok(source.disk === 0 && source.resident <= COMMON, 'nor over a restart')
  }
  const back = await ask(second, 'alpha', { key: 'one' })
  t.same(back.source, { resident: 0, ram: 0, disk: back.promptTokens - 1, miss: null })
  t.equal(back.cached, back.promptTokens - 1)
  t.equal(back.header, `resident=0; ram=0; disk=${back.promptTokens - 1}`)
  t.same(back.logprobs, hot.logprobs, 'and says the same, to the bit')
  t.equal(back.logprobs.length, 3)
  const own = await ask(second, 'beta', { key: 'two' })
  t.equal(own.source.disk, own.promptTokens - 1)
  const salted = await ask(second, 'alpha', { key: 'one', body: { cache_salt: 'x' } })
  t.equal(salted.cached, 0, 'nor does another salt of the same key')
  await second.end()
})

t.test('after kill -9 what was anchored is there', async t => {
  const folder = cacheFolder(t)
  const first = await startCached(t, folder)
  const asked = await ask(first, 'gamma')
  const written = await writtenPieces(folder, 3)
  first.child.kill('SIGKILL')
  await first.ended
  t.ok(written >= 3, `${written} pieces were written behind`)
  const second = await startCached(t, folder)
  const back = await ask(second, 'gamma')
  t.ok(back.source.disk > 0.7 * asked.promptTokens, `${back.source.disk} of ${asked.promptTokens} from disk`)
  t.same((await cacheHealth(second)).disk.faults, {})
  await second.end()
})
