import t from 'tap'
import { normalize, toBase64 } from '../../src/embeddings/vector.js'

t.test('length 1', async t => {
  t.strictSame([...normalize([3, 4])], [...Float32Array.of(0.6, 0.8)])
  t.strictSame([...normalize([0, 0])], [0, 0])
})

t.test('base64 is what numpy reads: 32-bit floats, little-endian', async t => {
  t.equal(toBase64(Float32Array.of(1, -2)), 'AACAPwAAAMA=')
  const { buffer, byteOffset, length } = Buffer.from(toBase64(Float32Array.of(0.25, 1e-8)), 'base64')
  t.strictSame(
    [...new Float32Array(buffer.slice(byteOffset, byteOffset + length))],
    [...Float32Array.of(0.25, 1e-8)]
  )
})
