/** What the machine lacks: memory, room on the disk, the model's file under a running engine. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ask, chat, embedded, flowing, longText, serve, until } from './serving.js'

const MIB = 2 ** 20

t.test('an engine that cannot get its memory', async t => {
  if (!hasPrlimit()) return t.comment('not tested: there is no prlimit here')
  const entry = fileURLToPath(new URL('./limited-engine.js', import.meta.url))
  const limits = process.env
  t.teardown(() => {
    delete limits.OCTAVO_TEST_MORE_MEMORY
  })
  const serving = await serve(t, [{ id: 'm', engine: { contextCells: 131_072 } }], {
    entry,
    bounds: { patienceMs: 500 },
    backoff: { factor: 1, baseMs: 50 },
    breaker: { failures: 100 }
  })

  // Weights take 31 MB, the pool 512 MiB.
  for (const [stage, bytes] of [
    ['to start', 20 * MIB],
    ['for its weights', 200 * MIB],
    ['for its pool', 500 * MIB]
  ] as const) {
    t.test(stage, async t => {
      limits.OCTAVO_TEST_MORE_MEMORY = String(bytes)
      const { status, json } = await ask(serving, chat('Hello'))
      t.equal(status, 503)
      t.match(json.error?.code, /^model_(unavailable|load_failed)$/)
      t.match(json.error?.message, /memory|alloc|engine process (ended|exited)/i)
      t.equal((await fetch(`${serving.url}/health/live`)).status, 200)
      await serving.model.unload({ timeoutMs: 0 })
    })
  }

  t.test('and has it again', async t => {
    limits.OCTAVO_TEST_MORE_MEMORY = '0'
    await until('it is served', async () => (await ask(serving, chat('Hello'))).status === 200)
    t.match(await (await fetch(`${serving.url}/health`)).json(), { status: 'ok' })
    t.ok(await serving.sound())
  })
})

t.test('a cache folder on a disk that is full', async t => {
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-small-'))
  const mounted = mountSmall(folder, 4 * MIB)
  t.teardown(() => {
    if (mounted) execFileSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true })
  })
  if (!mounted) return t.comment('not tested: nothing may be mounted here')
  const disk = { folder, capBytes: 2 ** 28, dailyWriteBytes: null }
  const serving = await serve(t, [{ id: 'm', engine: { tiers: { ramBytes: 2 ** 26, disk } } }])
  const ballast = path.join(folder, 'ballast')
  writeFileSync(ballast, Buffer.alloc(3 * MIB))
  const faults = async () => {
    const { store } = await (await serving.model.engine()).call('stats', null)
    return store?.disk?.faults.no_space ?? 0
  }
  const system = (name: string) => ({
    ...chat(''),
    messages: [
      { role: 'system', content: `${name} ${longText}` },
      { role: 'user', content: 'Hello' }
    ]
  })
  t.equal((await ask(serving, system('first'))).status, 200)
  await serving.model.unload({ timeoutMs: 5000 })
  t.equal((await ask(serving, system('first'))).status, 200, 'unloading with a full disk, and back')
  await until('a write has failed', async () => {
    await ask(serving, chat('more'))
    return (await faults()) > 0
  })
  const again = await ask(serving, system('first'))
  t.equal(again.status, 200)
  t.ok((again.json.usage?.prompt_tokens_details?.cached_tokens ?? 0) > 1000, 'pool and RAM go on')
  t.match(await (await fetch(`${serving.url}/health`)).json(), { status: 'ok' })
  t.ok(await serving.sound())
  rmSync(ballast)
})

t.test("the model's file cut short under its engine", async t => {
  const file = path.join(t.testdir({}), 'model.gguf')
  copyFileSync(embedded, file)
  const serving = await serve(t, [{ id: 'm', file }], { bounds: { patienceMs: 500 } })
  const reading = await flowing(serving, 'files')
  truncateSync(file, 100_000)
  // Mapped weights are gone with the file, and the engine with them; weights in memory stay.
  t.match(await reading.end, /^(error|done)$/)
  t.match(reading.text(), /"code":"engine_crashed"|\[DONE\]/)
  await serving.model.unload({ timeoutMs: 1000 })
  const { status, json } = await ask(serving, chat('Hello'))
  t.equal(status, 503)
  t.match(json.error, { code: 'model_load_failed', message: /cut short/ })
  copyFileSync(embedded, file)
  t.equal((await ask(serving, chat('Hello'))).status, 200, 'put right, it is served')
  t.ok(await serving.sound())
})

function hasPrlimit(): boolean {
  return process.platform === 'linux' && ['/usr/bin/prlimit', '/bin/prlimit'].some(file => existsSync(file))
}

/** A file system of its own, in memory; root may. */
function mountSmall(folder: string, bytes: number): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
