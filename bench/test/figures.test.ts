import t from 'tap'
import type { StreamResult } from '../support/client.js'
import { Prompts } from '../support/prompts.js'
import { gaps, max, median, medianRatio, percentile } from '../support/statistics.js'
import { linePlot, ticks } from '../support/svg.js'
import { milliseconds, table } from '../support/table.js'
import { refusalWaitMs, Tally } from '../support/tally.js'
import { assertSameWork } from '../support/tokens.js'

t.test('statistics', async t => {
  t.equal(percentile([4, 1, 3, 2], 0.5), 2.5)
  t.equal(percentile([1, 2, 3, 4, 5], 0.25), 2)
  t.equal(percentile([7], 0.99), 7)
  t.ok(Number.isNaN(median([])))
  t.equal(max([3, 9, 1]), 9)
  t.same(gaps([1, 3, 10]), [2, 7])
  // A slow spell in the second round hits both: the ratio of the medians would say 1 / 2.
  t.equal(medianRatio([1, 100, 3], [2, 100, 3]), 1)
})

t.test('prompts repeat for a salt and a key, and for nothing else', async t => {
  const one = new Prompts('a')
  t.equal(one.text('k', 50), new Prompts('a').text('k', 50))
  t.equal(one.text('k', 50).split(' ').length, 50)
  t.ok(one.text('k', 50).startsWith(`${one.text('k', 10)} `))
  const beginnings = new Set<string>()
  for (const prompts of [one, new Prompts('b'), one.with('1'), one.with('2')]) {
    for (let i = 0; i < 500; i++) beginnings.add(prompts.text(`k${i}`, 5))
  }
  t.equal(beginnings.size, 2000, 'no two begin with the same five words')
})

t.test('servers that saw different prompts are not compared', async t => {
  assertSameWork(
    new Map([
      ['a', 1000],
      ['b', 1004]
    ])
  )
  t.throws(
    () =>
      assertSameWork(
        new Map([
          ['a', 1000],
          ['b', 1100]
        ])
      ),
    /a: 1000, b: 1100/
  )
})

t.test('table', async t => {
  t.equal(
    table(
      ['name', 'x'],
      [
        ['a', '10'],
        ['long name', '1']
      ]
    ),
    ['| name      |   x |', '| --------- | --: |', '| a         |  10 |', '| long name |   1 |'].join('\n')
  )
  t.equal(milliseconds(1.234), '1.23 ms')
  t.equal(milliseconds(12.34), '12.3 ms')
  t.equal(milliseconds(1234), '1.23 s')
  t.equal(milliseconds(Number.NaN), '-')
})

function result(over: Partial<StreamResult>): StreamResult {
  return {
    status: 200,
    startedAt: 0,
    arrivals: [100, 200],
    endedAt: 210,
    text: 'ab',
    promptTokens: 5,
    completionTokens: 4,
    cachedTokens: 0,
    finishReason: 'length',
    done: true,
    aborted: false,
    error: null,
    headers: {},
    ...over
  }
}

t.test('a tally sorts answers and counts the tokens of whole ones in its window', async t => {
  const tally = new Tally()
  t.equal(tally.add(result({}), 4), 0)
  t.equal(tally.add(result({}), 5), 0, 'too short')
  t.equal(tally.add(result({ arrivals: [100], aborted: true, done: false }), 4), 0)
  t.equal(
    tally.add(result({ status: 429, error: 'full', headers: { 'retry-after-ms': '1500' }, endedAt: 8 }), 4),
    1500
  )
  t.equal(tally.add(result({ status: 429, error: 'full' }), 4), 0, 'a 429 that does not say when')
  t.equal(tally.add(result({ status: 500, error: 'oh' }), 4), 0)
  const summary = tally.summary(0, 150)
  t.match(summary, { whole: 1, refused: 1, left: 1, broken: 3 })
  t.equal(summary.flaws.length, 3)
  t.equal(summary.goodput, 2 / 0.15, 'half of its four tokens')
  t.equal(summary.refusal.p50, 8)
  t.equal(summary.gap.p50, 100)
  t.equal(refusalWaitMs(result({ status: 429, headers: { 'retry-after': '3' } })), 3000)
})

t.test('plots', async t => {
  t.same(ticks(0, 10), [0, 2, 4, 6, 8, 10])
  t.same(ticks(0, 0.5), [0, 0.1, 0.2, 0.3, 0.4, 0.5])
  const svg = linePlot({
    title: 'a < b',
    x: 'minutes',
    y: 'MiB',
    series: [
      {
        name: 's',
        points: [
          [0, 5],
          [1, Number.NaN],
          [2, 10]
        ]
      },
      { name: 'none', points: [] }
    ]
  })
  t.match(svg, 'a &lt; b')
  t.notMatch(svg, /NaN|Infinity/)
  t.equal(svg.match(/<polyline/g)?.length, 2)
  t.notMatch(linePlot({ title: '', x: '', y: '', series: [] }), /NaN|Infinity/)
})
