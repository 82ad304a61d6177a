import t from 'tap'
import { LineTail } from '../../src/models/log.js'

t.test('cuts text into lines wherever the parts break, and keeps the last', async t => {
  const seen: string[] = []
  const tail = new LineTail(2, line => seen.push(line))
  tail.write('on')
  tail.write('e\r\ntwo\n\nth')
  t.same(seen, ['one', 'two'])
  t.same(tail.lines, ['two', 'th'])
  tail.write('ree\n')
  t.same(tail.lines, ['two', 'three'])
})

t.test('a line without an end does not grow', async t => {
  const seen: string[] = []
  const tail = new LineTail(3, line => seen.push(line))
  for (let i = 0; i < 100; i++) tail.write('x'.repeat(1000))
  t.ok(seen.length >= 20)
  t.ok(seen.every(line => line.length <= 4096))
  t.ok(tail.lines.join('').length <= 3 * 4096)
})
