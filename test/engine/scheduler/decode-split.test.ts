import fc from 'fast-check'
import t from 'tap'
import { DecodeSplit } from '../../../src/engine/scheduler/decode-split.js'

t.test('without measurements all rows stay together', async t => {
  t.same(new DecodeSplit([]).of(5), [5])
  t.same(new DecodeSplit([]).divide([]), [])
})

t.test('rows of a kernel that is slow with few of them go one by one', async t => {
  // Measured: x64, q8_0.
  const split = new DecodeSplit([1.5, 5.2, 6.4, 7, 8.9, 9, 9.2, 9.4])
  t.same(split.of(1), [1])
  t.same(split.of(2), [1, 1])
  t.same(split.of(4), [1, 1, 1, 1])
  t.same(split.of(8), [8])
  t.same(split.of(9), [9], 'beyond what was measured nothing is known')
  t.same(split.divide(['a', 'b', 'c']), [['a'], ['b'], ['c']])
})

t.test('a few rows may part from many where that is cheap, and is known to be', async t => {
  const split = new DecodeSplit([1.5, 5.2, 6.4, 7, 8.9, 9, 9.2, 9.4])
  t.equal(split.mayPart(0, 16), true)
  t.equal(split.mayPart(15, 1), true)
  t.equal(split.mayPart(2, 14), true)
  t.equal(split.mayPart(8, 8), false)
  t.equal(split.mayPart(1, 1), false, 'each goes alone anyway')
  t.equal(new DecodeSplit([]).mayPart(15, 1), false, 'a model that is bound by reading its weights')
  t.equal(new DecodeSplit([]).mayPart(16, 0), true)
})

t.test('rows of an ordinary kernel stay together', async t => {
  const split = new DecodeSplit([10, 11, 12, 13, 14, 15, 16, 17])
  for (let rows = 1; rows <= 8; rows++) t.same(split.of(rows), [rows])
})

t.test('a gain within the noise is not worth it', async t => {
  t.same(new DecodeSplit([1, 2.02]).of(2), [2])
})

t.test('property: nothing is lost, and no division costs more than the whole', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.1, max: 50, noNaN: true }), { minLength: 1, maxLength: 8 }),
      costs => {
        const split = new DecodeSplit(costs)
        const price = (sizes: readonly number[]) => sizes.reduce((sum, size) => sum + costs[size - 1]!, 0)
        for (let rows = 1; rows <= costs.length; rows++) {
          const items = Array.from({ length: rows }, (_, i) => i)
          const batches = split.divide(items)
          if (JSON.stringify(batches.flat()) !== JSON.stringify(items)) return false
          if (price(batches.map(batch => batch.length)) > costs[rows - 1]! + 1e-9) return false
        }
        return true
      }
    )
  )
})
