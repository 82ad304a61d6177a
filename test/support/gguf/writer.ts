/** Writes GGUF version 3 files: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */

export type Metadata =
  | { type: 'u32' | 'i32' | 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'strings'; value: string[] }
  | { type: 'i32s' | 'f32s' | 'u32s'; value: number[] }

/** A tensor of f32 values; the first dimension is the fastest. */
export interface Tensor {
  name: string
  shape: number[]
  values: Float32Array
}

const alignment = 32
const types = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 }

/** The bytes of a GGUF file. */
export function encodeGguf(metadata: Record<string, Metadata>, tensors: readonly Tensor[]): Buffer {
  const parts: Buffer[] = [
    Buffer.from('GGUF'),
    u32(3),
    u64(tensors.length),
    u64(Object.keys(metadata).length)
  ]
  for (const [key, entry] of Object.entries(metadata)) parts.push(text(key), encode(entry))
  let offset = 0
  for (const { name, shape, values } of tensors) {
    const elements = shape.reduce((product, size) => product * size, 1)
    if (elements !== values.length)
      throw new Error(`${name}: ${values.length} values for ${shape.join(' x ')}`)
    parts.push(text(name), u32(shape.length), ...shape.map(u64), u32(0), u64(offset))
    offset += padded(values.byteLength)
  }
  const header = Buffer.concat(parts)
  const data = tensors.flatMap(({ values }) => {
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength)
    return [bytes, Buffer.alloc(padded(bytes.length) - bytes.length)]
  })
  return Buffer.concat([header, Buffer.alloc(padded(header.length) - header.length), ...data])
}

function encode(entry: Metadata): Buffer {
  switch (entry.type) {
    case 'u32':
    case 'i32':
    case 'f32':
      return Buffer.concat([u32(types[entry.type]), scalar(entry.type, entry.value)])
    case 'bool':
      return Buffer.concat([u32(types.bool), Buffer.from([entry.value ? 1 : 0])])
    case 'string':
      return Buffer.concat([u32(types.string), text(entry.value)])
    case 'strings':
      return array(types.string, entry.value.map(text))
    case 'u32s':
    case 'i32s':
    case 'f32s': {
      const type = entry.type.slice(0, 3) as 'u32' | 'i32' | 'f32'
      return array(
        types[type],
        entry.value.map(value => scalar(type, value))
      )
    }
  }
}

function array(type: number, items: Buffer[]): Buffer {
  return Buffer.concat([u32(types.array), u32(type), u64(items.length), ...items])
}

function scalar(type: 'u32' | 'i32' | 'f32', value: number): Buffer {
  const bytes = Buffer.alloc(4)
  if (type === 'f32') bytes.writeFloatLE(value)
  else if (type === 'i32') bytes.writeInt32LE(value)
  else bytes.writeUInt32LE(value)
  return bytes
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8')
  return Buffer.concat([u64(bytes.length), bytes])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function padded(length: number): number {
  return Math.ceil(length / alignment) * alignment
}
