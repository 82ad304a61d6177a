import fc from 'fast-check'
import t from 'tap'
import { CostModel } from '../../../src/engine/tiers/cost-model.js'
import { RobustLine } from '../../../src/engine/tiers/robust-line.js'

t.test('a line is found among outliers', async t => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 20 }),
      fc.integer({ min: 0, max: 50 }),
      fc.nat(1e6),
      (slope, at0, seed) => {
        const line = new RobustLine()
        for (let i = 0; i < 40; i++) {
          const x = (seed + i * 7919) % 1000
          // One in five took a hundred times as long: another process, a page fault, a sleeping disk.
          const y = at0 + slope * x
          line.add(x, i % 5 === 0 ? y * 100 + 5000 : y)
        }
        const fit = line.fit()!
        t.ok(Math.abs(fit.slope - slope) < 0.01 + slope * 0.05, `${fit.slope} for ${slope}`)
      }
    ),
    { numRuns: 50 }
  )
})

t.test('a line follows a machine that changes, and is never negative', async t => {
  const line = new RobustLine(10)
  t.equal(line.fit(), null)
  for (let i = 0; i < 30; i++) line.add(i, 100)
  for (let i = 0; i < 10; i++) line.add(i, 5)
  t.equal(line.at(3), 5)
  const falling = new RobustLine()
  for (let i = 0; i < 10; i++) falling.add(i, 100 - 20 * i)
  t.ok(falling.fit()!.slope >= 0)
  t.ok(falling.at(100)! >= 0)
  line.add(Number.NaN, 1)
  line.add(1, -1)
  t.equal(line.at(3), 5)
})

function learnt(): CostModel {
  const costs = new CostModel()
  for (let i = 0; i < 20; i++) {
    // 0.5 ms a token at depth 0, 0.3 ms more for each thousand before it.
    const depth = i * 512
    costs.observeCompute(512, depth, 512 * (0.5 + (0.3 * (depth + 256)) / 1000))
    const bytes = (i + 1) * 100_000
    costs.observeRestore('ram', bytes, 0.1 + bytes / 1e6)
    costs.observeRestore('disk', bytes, 20 + bytes / 1e5)
  }
  return costs
}

t.test('restores what is cheaper than computing, and only that', async t => {
  const costs = learnt()
  t.ok(costs.worthRestoring(256, 0, 'ram', 1_000_000))
  t.ok(costs.worthRestoring(256, 0, 'disk', 1_000_000), '30 ms against 138')
  t.notOk(costs.worthRestoring(20, 0, 'disk', 1_000_000), '30 ms for ten milliseconds of work')
  t.ok(costs.worthRestoring(20, 8000, 'disk', 1_000_000), 'deep down the same tokens cost more')
  t.notOk(costs.worthRestoring(0, 8000, 'ram', 1))
  t.match(costs.figures(), { compute: { samples: 20 }, restore: { ram: { samples: 20 } } })
  const { compute, restore } = costs.figures()
  t.ok(Math.abs(compute.msPerToken! - 0.5) < 0.01)
  t.ok(Math.abs(compute.msPerTokenPerThousand! - 0.3) < 0.01)
  t.ok(Math.abs(restore.disk.fixedMs! - 20) < 0.1)
  t.ok(Math.abs(restore.disk.bytesPerSecond! - 1e8) < 1e6)
})

t.test('what is not known yet is tried', async t => {
  const costs = new CostModel()
  t.ok(costs.worthRestoring(1, 0, 'disk', 1e9))
  t.equal(costs.restoreMs('disk', 1), null)
  t.equal(costs.computeMs(1, 0), null)
  t.strictSame(costs.figures().restore.disk, {
    samples: 0,
    fixedMs: null,
    bytesPerSecond: null,
    refused: 0,
    tried: 0
  })
})

t.test('a tier that was found slow is tried again now and then', async t => {
  const costs = learnt()
  const answers = Array.from({ length: 64 }, () => costs.worthRestoring(20, 0, 'disk', 1_000_000))
  t.equal(answers.filter(Boolean).length, 2)
  for (let i = 0; i < 48; i++) costs.observeRestore('disk', 1_000_000, 1)
  t.ok(costs.worthRestoring(20, 0, 'disk', 1_000_000))
})

t.test('the first restores, slow as first ones are, refuse nothing', async t => {
  const costs = new CostModel()
  for (let i = 0; i < 8; i++) costs.observeCompute(256, 256 * i, 100)
  costs.observeRestore('disk', 1_000_000, 900)
  t.equal(costs.worthRestoring(256, 0, 'disk', 1_000_000), true)
  for (let i = 0; i < 7; i++) costs.observeRestore('disk', 1_000_000, 900)
  t.equal(costs.worthRestoring(256, 0, 'disk', 1_000_000), false, 'eight of them are an opinion')
})
