import fc from 'fast-check'
import t from 'tap'
import { boundariesOf } from '../../../src/engine/scheduler/boundaries.js'

const anywhere = (position: number) => position

t.test('the position before the last token, and the end of system and tools', async t => {
  t.same(boundariesOf(500, [], anywhere), [499])
  t.same(boundariesOf(500, [490], anywhere), [490, 499], 'the first anchor however near')
  t.same(boundariesOf(500, [499], anywhere), [499])
  t.same(
    boundariesOf(500, [500], anywhere),
    [499],
    'an anchor behind the last token is of no use for repetitions'
  )
  t.same(boundariesOf(1, [1], anywhere), [], 'a prompt of one token has nothing before it')
})

t.test('of further anchors the last ones, and only far apart', async t => {
  t.same(boundariesOf(1000, [100, 200, 300, 400, 500, 600], anywhere), [100, 400, 500, 600, 999])
  t.same(boundariesOf(1000, [100, 110, 940, 950], anywhere), [100, 110, 999])
})

t.test('in order, below the end, where chunks may end', async t => {
  const anchors = fc.uniqueArray(fc.integer({ min: 1, max: 3000 })).map(all => all.sort((a, b) => a - b))
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), anchors, fc.constantFrom(1, 32), (length, all, grid) => {
      const found = boundariesOf(length, all, position => position - (position % grid))
      return (
        found.length <= 5 &&
        found.every((at, i) => at > (found[i - 1] ?? 0) && at < length && at % grid === 0) &&
        (length <= grid || found.length > 0)
      )
    })
  )
  t.pass()
})
