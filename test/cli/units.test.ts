import t from 'tap'
import { age, columns, plural, size } from '../../src/cli/units.js'

t.test('sizes and ages in units that suit them', async t => {
  t.same([0, 1023, 1024, 5 * 2 ** 20, 1.5 * 2 ** 30].map(size), [
    '0 B',
    '1023 B',
    '1 KiB',
    '5 MiB',
    '1.5 GiB'
  ])
  const hours = 3_600_000
  t.same([-5, 59_000, 60_000, 2 * hours, 24 * hours, 60 * hours].map(age), [
    '0 s ago',
    '59 s ago',
    '1 min ago',
    '2 h ago',
    '1 day ago',
    '2 days ago'
  ])
  t.equal(plural(1234, 'piece'), '1,234 pieces')
})

t.test('columns line up, numbers to the right, without blanks at the end', async t => {
  const text = columns(
    [
      ['A', 'N', 'B'],
      ['long', '10', ''],
      ['x', '9', 'y']
    ],
    [1]
  )
  t.equal(text, 'A      N  B\nlong  10\nx      9  y')
})
