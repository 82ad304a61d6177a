import { copyFileSync, truncateSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { writeTinyModel } from '../support/gguf/tiny-models.js'
import {
  alive,
  ask,
  chat,
  embedded,
  flowing,
  killEngine,
  longAnswer,
  post,
  serve,
  stream,
  until
} from './serving.js'

const swap = { path: '/admin/models/swap' }

function tinyIn(folder: string, name: string, seed: number): string {
  return writeTinyModel('llama', path.join(folder, `${name}.gguf`), { seed })
}

t.test('beside each other', async t => {
  const folder = t.testdir({})
  const serving = await serve(t, [
    { id: 'old', aliases: ['chat'] },
    { id: 'new', file: tinyIn(folder, 'new', 1) },
    { id: 'third', file: tinyIn(folder, 'third', 2) }
  ])

  t.test('under 8 streams: none is lost, new requests go to the new model, the old one goes', async t => {
    const streams = await Promise.all(
      Array.from({ length: 8 }, (_, i) => flowing(serving, `${i}`, { model: 'chat', max_tokens: 150 }))
    )
    const swapped = await ask(serving, { from: 'old', to: 'new' }, swap)
    t.equal(swapped.status, 200)
    t.match(swapped.json, { from: 'old', to: 'new', aliases: ['chat'], beside: true, held_ms: 0 })
    t.equal((await ask(serving, chat('Hello', { model: 'chat' }))).json.model, 'new')
    t.same(await Promise.all(streams.map(reading => reading.end)), Array(8).fill('done'))
    await until('the old one is gone', () => serving.models.get('old')!.state === 'unloaded')
    t.ok(await serving.sound())
  })

  t.test('two at once: the second is refused', async t => {
    const first = ask(serving, { from: 'chat', to: 'third', alias: 'chat' }, swap)
    await until('the first is under way', () => serving.models.swapping)
    const second = await ask(serving, { from: 'chat', to: 'old' }, swap)
    t.equal(second.status, 409)
    t.equal(second.json.error?.code, 'swap_conflict')
    t.equal((await first).status, 200)
  })

  t.test('the new engine is killed while it loads: it is started again, and the swap is done', async t => {
    const old = serving.models.get('old')!
    const swapped = ask(serving, { from: 'chat', to: 'old' }, swap)
    await until('loading', () => old.pid !== undefined)
    killEngine({ model: old })
    t.equal((await swapped).status, 200)
    t.equal((await ask(serving, chat('Hello', { model: 'chat' }))).json.model, 'old')
  })

  t.test('to a model that is not there', async t => {
    const { status, json } = await ask(serving, { from: 'old', to: 'nothing' }, swap)
    t.equal(status, 404)
    t.equal(json.error?.code, 'model_not_found')
  })
})

t.test('with memory for one', async t => {
  const folder = t.testdir({})
  const broken = path.join(folder, 'broken.gguf')
  copyFileSync(embedded, broken)
  const serving = await serve(
    t,
    [
      { id: 'old', aliases: ['chat'] },
      { id: 'new', file: tinyIn(folder, 'new', 1) },
      { id: 'broken', file: broken }
    ],
    { memoryBudget: () => 150, bounds: { patienceMs: 300 }, breaker: { failures: 100 } }
  )
  const old = serving.models.get('old')!
  const askChat = (text: string) => ask(serving, chat(text, { model: 'chat' }))

  t.test('a load that fails: the old model is back, nobody is turned away', async t => {
    const reading = await flowing(serving, 'failure', { model: 'chat', max_tokens: 100 })
    truncateSync(broken, 10_000_000)
    const swapping = ask(serving, { from: 'old', to: 'broken' }, swap)
    await until('held back', () => old.isHeld)
    const waiting = askChat('Hello')
    const { status, json } = await swapping
    t.equal(status, 503)
    t.match(json.error, { code: 'swap_failed', rolled_back: true, message: /cut short/ })
    t.equal(await reading.end, 'done')
    t.equal((await waiting).json.model, 'old')
  })

  t.test('the old engine is killed while the swap waits for its stream', async t => {
    const reading = await flowing(serving, 'death', { model: 'chat' })
    const swapping = ask(serving, { from: 'old', to: 'new' }, swap)
    await until('held back', () => old.isHeld)
    const waiting = askChat('Hello')
    killEngine({ model: old })
    t.equal(await reading.end, 'error')
    t.equal((await swapping).status, 200)
    t.equal((await waiting).json.model, 'new')
  })

  t.test('who waits for a swap is told so, or turned away when he wants that', async t => {
    t.equal((await ask(serving, { from: 'new', to: 'old' }, swap)).status, 200)
    const running = await flowing(serving, 'patience', { model: 'chat' })
    const swapping = ask(serving, { from: 'old', to: 'new' }, swap)
    await until('held back', () => old.isHeld)
    const hello = chat('Hello', { model: 'chat' })
    const refused = await ask(serving, hello, { headers: { 'x-octavo-wait': '0' } })
    t.equal(refused.status, 503)
    t.equal(refused.json.error?.code, 'model_loading')
    const waiting = await stream(serving, hello, { 'x-octavo-events': '1' })
    await until('told', () => /"state":"waiting"/.test(waiting.text()))
    t.ok(old.isHeld, 'before the swap is over')
    t.equal((await swapping).status, 200)
    t.same([await running.end, await waiting.end], ['done', 'done'])
    t.match(waiting.text(), /"model":"new"/)
  })

  t.test('and back, under streams and new requests: all are answered', async t => {
    const streams = await Promise.all(
      Array.from({ length: 4 }, (_, i) => flowing(serving, `${i}`, { model: 'chat', max_tokens: 200 }))
    )
    const swapping = ask(serving, { from: 'new', to: 'old' }, swap)
    const more = Array.from({ length: 8 }, (_, i) => askChat(`Hello ${i}`))
    t.match((await swapping).json, { beside: false })
    t.same(await Promise.all(streams.map(reading => reading.end)), Array(4).fill('done'))
    t.same(new Set((await Promise.all(more)).map(answer => answer.status)), new Set([200]))
    t.equal((await askChat('Hello')).json.model, 'old')
    t.equal([...serving.pids].filter(alive).length, 1)
    t.ok(await serving.sound())
  })

  t.test('a request that does not end in time: the swap is off, and nothing has happened', async t => {
    const reading = await flowing(serving, 'patience', { model: 'chat' })
    const { status, json } = await ask(serving, { from: 'old', to: 'new', timeout_seconds: 0.05 }, swap)
    t.equal(status, 409)
    t.match(json.error, { code: 'swap_conflict', message: /did not end/ })
    t.equal(await reading.end, 'done')
    t.equal((await askChat('Hello')).json.model, 'old')
  })
})

t.test('the other admin routes', async t => {
  const folder = t.testdir({})
  const serving = await serve(t, [{ id: 'm' }, { id: 'tiny', file: tinyIn(folder, 'tiny', 1), pinned: true }])
  const get = async (url: string) => (await fetch(`${serving.url}${url}`)).json() as Promise<Listing>
  interface Listing {
    default?: string
    data: Array<{ id: string; state: string; freed_cells?: number }>
  }

  t.test('load, list, unload', async t => {
    const loaded = await ask(serving, { model: 'tiny' }, { path: '/admin/models/load' })
    t.match(loaded.json, { id: 'tiny', state: 'ready', pinned: true, memory: 100, load_ms: Number })
    t.match(await get('/admin/models'), {
      data: [
        { id: 'm', state: 'unloaded' },
        { id: 'tiny', state: 'ready' }
      ]
    })
    t.match(await get('/admin/models/current'), { default: 'm', data: [{ id: 'tiny' }] })
    const unloaded = await ask(serving, { model: 'tiny' }, { path: '/admin/models/unload' })
    t.match(unloaded.json, { finished: 0, aborted: 0, state: 'unloaded' })
    t.equal((await ask(serving, { model: 'x' }, { path: '/admin/models/load' })).status, 404)
    t.equal((await ask(serving, {}, { path: '/admin/models/load' })).status, 400)
  })

  t.test('warm-up, then the caches are emptied', async t => {
    const system = 'You are a careful assistant. '.repeat(20)
    const messages = [{ role: 'system', content: system }]
    const cached = async (question: string) => {
      const { json } = await ask(serving, {
        ...chat(question),
        messages: [...messages, { role: 'user', content: question }]
      })
      return json.usage?.prompt_tokens_details?.cached_tokens ?? 0
    }
    const warm = await ask(serving, { messages }, { path: '/v1/models/m/warmup' })
    t.equal(warm.status, 200)
    t.match(warm.json, { id: 'm', state: 'ready', cached_tokens: 0 })
    t.ok(Number(warm.json.prompt_tokens) > 100)
    t.ok((await cached('What?')) > 100)
    const freed = await post(serving, undefined, { path: '/admin/caches', method: 'DELETE' })
    t.match(await freed.json(), { data: [{ id: 'm', freed_cells: Number }] })
    t.ok((await cached('Why?')) < 20)
    t.ok(await serving.sound())
    t.match((await ask(serving, undefined, { path: '/v1/models/m/warmup' })).json, { state: 'ready' })
    t.match((await ask(serving, { prompt: 'Once upon a time' }, { path: '/v1/models/m/warmup' })).json, {
      prompt_tokens: Number
    })
  })

  t.test('drain: what runs may finish, nothing comes after it', async t => {
    const reading = await flowing(serving, 'the end', { max_tokens: 150 })
    const draining = ask(serving, { timeout_seconds: 20 }, { path: '/admin/drain' })
    await until('draining', () => serving.models.draining)
    t.equal((await ask(serving, chat('Hello'))).json.error?.code, 'draining')
    t.equal(await reading.end, 'done')
    t.match((await draining).json, { finished: 1, aborted: 0 })
    t.equal((await stream(serving, chat('Hello', { max_tokens: longAnswer }))).status, 503)
    t.match(await (await fetch(`${serving.url}/health`)).json(), { status: 'down' })
  })
})
