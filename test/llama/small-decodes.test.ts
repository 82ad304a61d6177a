import path from 'node:path'
import t from 'tap'
import { loadBackend } from '../../src/llama/backend.js'
import { packageRoot } from '../../src/root.js'

t.test('what few rows cost is measured on a CPU, and leaves nothing behind', async t => {
  const backend = await loadBackend({
    model: path.join(packageRoot(), 'models/MiniMind2-Small-26M-q8_0.gguf'),
    contextCells: 512,
    sequenceIds: 16,
    batchRows: 64,
    threads: 1,
    gpuLayers: 0,
    cacheTypeK: 'f16',
    cacheTypeV: 'f16',
    flashAttention: 'auto'
  })
  t.teardown(() => backend.dispose())
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
