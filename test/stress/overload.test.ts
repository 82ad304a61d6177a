import { setMaxListeners } from 'node:events'
import t from 'tap'
import { fetchText } from '../../bench/support/client.js'
import { total } from '../server/metrics/exposition.js'
import { ask, clients, long, StressServer, Tally } from './server.js'

const MIB = 2 ** 20

t.test('more than the server can do', async t => {
  const server = await StressServer.start(t, ['--ctx-size', '4096', '--parallel', '8', '--max-queue', '16'])
  const all = new Tally()
  let memory = 0

  await t.test('warm', async t => {
    await clients(server, all, { name: 'warm', clients: 8, ms: 3000, words: 60, tokens: 32 })
    t.same(all.wrong, [])
    t.equal(all.refused, 0, '8 clients are no overload')
    t.equal(await server.settled(), null)
    memory = await server.memory()
  })

  await t.test('a ramp: whole answers, and 429s that say when to come back', async t => {
    for (const count of long ? [10, 25, 50, 100, 200] : [10, 60, 200]) {
      const tally = new Tally()
      const load = { name: `ramp ${count}`, clients: count, ms: long ? 20_000 : 2000, words: 60, tokens: 32 }
      await clients(server, tally, load)
      t.same(tally.wrong, [], `${count} clients: ${tally.whole} whole, ${tally.refused} refused`)
      t.ok(tally.whole > 0, `${tally.whole} answers`)
      if (count === 200) t.ok(tally.refused > 0, 'more than run and wait')
      all.whole += tally.whole
      all.promptTokens += tally.promptTokens
      all.completionTokens += tally.completionTokens
    }
    t.equal(await server.settled(), null)
  })

  await t.test('a pool that is too small for all prompts at once', async t => {
    const tally = new Tally()
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, i) => ask(server, `large ${i}`, { words: 250, tokens: 64 }))
    )
    for (const result of results) tally.add(result, 64)
    t.same(tally.wrong, [], `${tally.whole} whole, ${tally.refused} refused`)
    t.ok(tally.whole >= 16 && tally.refused > 0)
    const refused = results.find(({ status }) => status === 429)!
    t.equal(refused.headers['x-octavo-queue-limit'], '16')
    t.match(refused.headers, { 'x-octavo-queue-waiting': /^\d+$/, 'x-octavo-queue-running': /^\d+$/ })
    const health = await fetchText(server, '/health')
    t.equal(health.status, 200)
    t.equal(await server.settled(), null)
    all.promptTokens += tally.promptTokens
    all.completionTokens += tally.completionTokens
  })

  t.test('counters agree with the sum of usage', async t => {
    const text = await server.metrics()
    t.equal(total(text, 'octavo_prompt_tokens_total'), all.promptTokens)
    t.equal(total(text, 'octavo_generation_tokens_total'), all.completionTokens)
    t.equal(total(text, 'octavo_num_requests_running'), 0)
    t.equal(total(text, 'octavo_num_requests_waiting'), 0)
    t.equal(total(text, 'octavo_waiting_prompt_tokens'), 0)
    t.equal(total(text, 'octavo_kv_cache_usage_perc'), 0)
    t.ok(total(text, 'octavo_step_time_seconds_count') > 0)
  })

  await t.test('200 requests that give up after half a second do not delay the next one', async t => {
    const giveUp = AbortSignal.timeout(500)
    setMaxListeners(0, giveUp)
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        ask(server, `impatient ${i}`, { words: 60, tokens: 512, signal: giveUp })
      )
    )
    const other = results.filter(({ aborted, status }) => !aborted && status !== 429 && status !== 200)
    t.same(
      other.map(({ error }) => error),
      []
    )
    const began = performance.now()
    const next = new Tally()
    next.add(await ask(server, 'patient', { words: 60, tokens: 16 }), 16)
    t.same(next.wrong, [])
    t.equal(next.whole, 1)
    t.ok(performance.now() - began < 5000, `${Math.round(performance.now() - began)} ms`)
    t.equal(await server.settled(), null)
  })

  await t.test('nothing is left of it', async t => {
    const statuses = await server.statuses()
    t.same(
      Object.keys(statuses).filter(status => status >= '500'),
      [],
      JSON.stringify(statuses)
    )
    t.same(
      Object.keys(statuses).filter(status => !['200', '429', '499'].includes(status)),
      []
    )
    const after = await server.memory()
    t.ok(
      after < memory * 1.3 + 80 * MIB,
      `${Math.round(memory / MIB)} MiB before, ${Math.round(after / MIB)} MiB after`
    )
    t.equal(server.stderr().includes('Error'), false, server.stderr().slice(-2000))
  })
})
