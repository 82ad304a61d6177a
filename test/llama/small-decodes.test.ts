import t from 'tap'
import { small } from './support/backends.js'

t.test('what few rows cost is measured on a CPU, and leaves nothing behind', async t => {
  const backend = await small(t, { contextCells: 512, batchRows: 64 })
  const { smallDecodeMs } = backend.capabilities
  if (smallDecodeMs) {
    t.equal(smallDecodeMs.length, 8)
    t.ok(smallDecodeMs.every(ms => ms > 0 && ms < 1000))
    t.ok(smallDecodeMs[1]! >= 1.5 * smallDecodeMs[0]!, 'otherwise two rows at a time are better')
  } else {
    t.pass('more rows at a time are better on this machine')
  }
  t.equal(backend.usedCells(), 0)
})
