import t from 'tap'
import { warmSlab } from '../../../src/engine/tiers/warm-slab.js'

t.test('fresh memory is touched without changing what is written there meanwhile', async t => {
  const slab = new SharedArrayBuffer(8 * 1024 * 1024)
  const bytes = new Uint8Array(slab)
  // The thread alone keeps no process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const warming = warmSlab(slab)
  for (let i = 0; i < bytes.length; i += 4096) bytes[i] = 1 + (i % 250)
  await warming
  let wrong = 0
  for (let i = 0; i < bytes.length; i += 4096) if (bytes[i] !== 1 + (i % 250)) wrong++
  t.equal(wrong, 0)
})
