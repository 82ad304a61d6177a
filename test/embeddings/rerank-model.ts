import { readFileSync, writeFileSync } from 'node:fs'
import { readGguf } from '../../src/llama/gguf.js'

const poolingKey = Buffer.from('bert.pooling_type')
const rankPooling = 4
const alignment = 32

/**
 * Writes a reranking model made of an embedding model (a BERT with pooling): its pooling is changed, and a classifier
 * is put on top, the sum over the first token's vector with signs in turn. The scores mean nothing.
 */
export function writeRerankModel(from: string, to: string): string {
  const whole = readFileSync(from)
  const { bytes, dataStart, metadata } = readGguf(from)
  const head = Buffer.from(bytes)
  head.writeUInt32LE(rankPooling, head.indexOf(poolingKey) + poolingKey.length + 4)
  head.writeBigUInt64LE(head.readBigUInt64LE(8) + 1n, 8)
  const dimensions = Number(metadata.get('bert.embedding_length'))
  const data = padded(whole.subarray(dataStart))
  const weights = Buffer.from(
    Float32Array.from({ length: dimensions }, (_, i) => (i % 2 === 0 ? 1 : -1)).buffer
  )
  const table = Buffer.concat([head, tensorInfo('cls.output.weight', [dimensions, 1], data.length)])
  writeFileSync(to, Buffer.concat([padded(table), data, padded(weights)]))
  return to
}

/** Name, number of dimensions, dimensions, type (0: f32), offset. */
function tensorInfo(name: string, shape: number[], offset: number): Buffer {
  return Buffer.concat([
    u64(name.length),
    Buffer.from(name),
    u32(shape.length),
    ...shape.map(u64),
    u32(0),
    u64(offset)
  ])
}

function padded(buffer: Buffer): Buffer {
  return Buffer.concat([buffer, Buffer.alloc((alignment - (buffer.length % alignment)) % alignment)])
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(value)
  return buffer
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64LE(BigInt(value))
  return buffer
}
