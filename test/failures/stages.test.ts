/** Engines stopped (SIGSTOP) or killed at the stages that engine-ends.test.ts leaves out: prefill, spill, swap. */
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import t, { type Test } from 'tap'
import { writeTinyModel } from '../support/gguf/tiny-models.js'
import { alive, ask, chat, flowing, killEngine, longText, type Serving, serve, until } from './serving.js'

const patient = {
  backoff: { factor: 1, baseMs: 50 },
  breaker: { failures: 100 },
  bounds: { heartbeatMs: 500, loadStallMs: 3000, exitMs: 300, patienceMs: 5000 }
}
const swap = { path: '/admin/models/swap' }

async function inOrder(t: Test, serving: Serving, running = 1): Promise<void> {
  t.equal((await ask(serving, chat('Hello'))).status, 200)
  t.ok(await serving.sound())
  t.equal(
    serving.models.list().reduce((sum, model) => sum + model.active, 0),
    0,
    'no request is left'
  )
  await until('no orphans', () => [...serving.pids].filter(alive).length === running)
}

t.test('stopped while a prompt is computed: the request goes to the next engine', async t => {
  const serving = await serve(t, [{ id: 'm' }], patient)
  await serving.model.load()
  const answer = ask(serving, chat(longText))
  await until('started', () => (serving.model.stats?.running ?? 0) > 0)
  const pid = killEngine(serving, 'SIGSTOP')
  t.equal((await answer).status, 200)
  t.notOk(alive(pid))
  await inOrder(t, serving)
})

for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
  t.test(`${signal} while its prefixes are spilled: the model comes back, without them`, async t => {
    const folder = t.testdir({})
    const disk = { folder, capBytes: 2 ** 28, dailyWriteBytes: null }
    const serving = await serve(t, [{ id: 'm', engine: { tiers: { ramBytes: 2 ** 26, disk } } }], patient)
    const messages = [{ role: 'system', content: longText }]
    t.equal((await ask(serving, { messages }, { path: '/v1/models/m/warmup' })).status, 200)
    // The watchdog ends a frozen one long before the drain's time is over.
    const unloading = serving.model.unload({ timeoutMs: 60_000 })
    const waiting = ask(serving, { ...chat(''), messages: [...messages, { role: 'user', content: 'Hello' }] })
    const pid = killEngine(serving, signal)
    await unloading
    t.notOk(alive(pid))
    t.equal((await waiting).status, 200)
    await inOrder(t, serving)
  })
}

t.test('during a swap', async t => {
  const folder = t.testdir({})
  const tiny = writeTinyModel('llama', path.join(folder, 'tiny.gguf'))
  const models = [
    { id: 'old', aliases: ['chat'] },
    { id: 'new', file: tiny }
  ]
  const askChat = (serving: Serving) => ask(serving, chat('Hello', { model: 'chat' }))

  t.test('the new engine, stopped while it loads beside: started again, the swap is done', async t => {
    const serving = await serve(t, models, patient)
    await serving.model.load()
    const swapping = ask(serving, { from: 'old', to: 'new' }, swap)
    const fresh = serving.models.get('new')!
    await until('started', () => fresh.pid !== undefined)
    const pid = killEngine({ model: fresh }, 'SIGSTOP')
    t.equal((await askChat(serving)).json.model, 'old', 'meanwhile the old one serves')
    t.equal((await swapping).status, 200)
    t.notOk(alive(pid))
    t.equal((await askChat(serving)).json.model, 'new')
    await inOrder(t, serving)
  })

  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    t.test(`${signal} for the old engine while it makes room: the swap is done`, async t => {
      const serving = await serve(t, models, { ...patient, memoryBudget: () => 150 })
      const old = serving.models.get('old')!
      const reading = await flowing(serving, 'swaps', { model: 'chat', max_tokens: 60 })
      const swapping = ask(serving, { from: 'old', to: 'new' }, swap)
      await until('it goes', () => old.state === 'draining')
      const waiting = askChat(serving)
      const pid = killEngine({ model: old }, signal)
      t.equal(await reading.end, 'done')
      t.equal((await swapping).status, 200)
      t.notOk(alive(pid))
      t.equal((await waiting).json.model, 'new')
      await inOrder(t, serving)
    })
  }

  t.test('the new engine, killed again and again: the old one is back, nobody is turned away', async t => {
    const serving = await serve(t, models, {
      ...patient,
      bounds: { ...patient.bounds, patienceMs: 100 },
      breaker: { failures: 2, openMs: 60_000 },
      memoryBudget: () => 150
    })
    const fresh = serving.models.get('new')!
    await serving.model.load()
    const swapping = ask(serving, { from: 'old', to: 'new' }, swap)
    await until('held back', () => serving.models.get('old')!.isHeld)
    const waiting = askChat(serving)
    const killing = setInterval(() => {
      if (fresh.pid !== undefined && !fresh.isReady) killEngine({ model: fresh })
    }, 10)
    const { status, json } = await swapping
    clearInterval(killing)
    t.equal(status, 503)
    t.match(json.error, { code: 'swap_failed', rolled_back: true })
    t.equal((await waiting).json.model, 'old')
    await inOrder(t, serving)
  })
})

t.test('the process that looks at requests beforehand', async t => {
  const serving = await serve(t, [{ id: 'm' }], patient)

  t.test('killed: the engine looks itself', async t => {
    const tooLong = ask(serving, chat(longText.repeat(8)))
    await until('started', () => vocabularyPids().length > 0)
    for (const pid of vocabularyPids()) process.kill(pid, 'SIGKILL')
    const { status, json } = await tooLong
    t.equal(status, 400)
    t.equal(json.error?.code, 'context_length_exceeded')
    await inOrder(t, serving)
  })

  t.test('stopped: nobody waits for it longer than a few seconds', async t => {
    await serving.model.unload({ timeoutMs: 1000 })
    t.equal((await ask(serving, chat(longText.repeat(8)))).status, 400, 'it is there again')
    t.equal(serving.model.state, 'unloaded')
    for (const pid of vocabularyPids()) process.kill(pid, 'SIGSTOP')
    t.equal((await ask(serving, chat(longText))).status, 200)
    for (const pid of vocabularyPids()) process.kill(pid, 'SIGCONT')
    await inOrder(t, serving)
  })
})

/** Of the vocabulary processes below this one. */
function vocabularyPids(): number[] {
  return execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map(line => /^\s*(\d+)\s+(\d+)\s.*vocabulary[\\/]main\.js/.exec(line))
    .filter(match => Number(match?.[2]) === process.pid)
    .map(match => Number(match![1]))
}
