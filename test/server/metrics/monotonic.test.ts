import t from 'tap'
import { EngineTotals } from '../../../src/server/metrics/engine-totals.js'
import { Monotonic, MonotonicHistogram } from '../../../src/server/metrics/monotonic.js'
import { poolStats } from '../../models/messages.js'

t.test('a counter never falls', async t => {
  const counter = new Monotonic()
  counter.read(5)
  counter.read(7)
  t.equal(counter.total, 7)
  counter.read(2)
  t.equal(counter.total, 9, 'a smaller value is that of a new process')
  counter.restarted()
  counter.read(100)
  t.equal(counter.total, 109, 'a larger one too, when it is known to be new')
})

t.test('nor does a histogram', async t => {
  const histogram = new MonotonicHistogram()
  t.equal(histogram.total, null)
  histogram.read({ bounds: [1, 2], counts: [1, 2, 3], sum: 10 })
  histogram.read({ bounds: [1, 2], counts: [0, 4, 0], sum: 1 })
  t.same(histogram.total, { bounds: [1, 2], counts: [1, 6, 3], sum: 11 })
  histogram.restarted()
  histogram.read({ bounds: [1, 2], counts: [9, 9, 9], sum: 9 })
  t.same(histogram.total, { bounds: [1, 2], counts: [10, 15, 12], sum: 20 })
})

t.test("an engine's figures over its restarts, tiers where there are any", async t => {
  const totals = new EngineTotals()
  const stats = poolStats(0)
  stats.counters.preemptions = 3
  stats.counters.promptTokens = 50
  totals.read(stats)
  t.same(totals.tiers, [])
  totals.restarted()
  stats.counters.preemptions = 4
  stats.tiers = { ram: { used: 1, cap: 2, spilled: 30, restored: 10 } }
  totals.read(stats)
  totals.read(stats)
  t.equal(totals.preemptions.total, 7)
  t.equal(totals.computedTokens.total, 100)
  t.same(totals.tiers, [{ tier: 'ram', spilled: 30, restored: 10 }])
})
