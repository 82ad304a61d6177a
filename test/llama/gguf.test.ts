import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import {
  GgufError,
  metadataNumber,
  metadataPerLayer,
  metadataString,
  readGguf
} from '../../src/llama/gguf.js'
import { tinyModel, writeTinyModel } from '../support/gguf/tiny-models.js'
import { encodeGguf } from '../support/gguf/writer.js'
import { smallModel, temporaryFolder } from './support/backends.js'

t.test('reads metadata and the tensor table of a real file', async t => {
  const header = readGguf(smallModel)
  t.equal(metadataString(header, 'general.architecture'), 'llama')
  t.equal(metadataNumber(header, 'llama.block_count'), 8)
  t.equal(metadataNumber(header, 'llama.context_length'), 32768)
  t.match(header.metadata.get('tokenizer.ggml.tokens'), { length: 6400, values: null })
  t.equal(header.tensors.length, 75)
  t.same(header.tensors.find(({ name }) => name === 'token_embd.weight')?.shape, [512, 6400])
  t.ok(header.dataStart % 32 === 0 && header.dataStart >= header.bytes.length)
  t.equal(header.bytes.toString('latin1', 0, 4), 'GGUF')
})

t.test('reads every kind of value, and settings per layer', async t => {
  const file = path.join(temporaryFolder(t), 'values.gguf')
  const bytes = encodeGguf(
    {
      text: { type: 'string', value: '日本' },
      yes: { type: 'bool', value: true },
      minus: { type: 'i32', value: -5 },
      half: { type: 'f32', value: 0.5 },
      layers: { type: 'i32s', value: [0, 2, 0] },
      words: { type: 'strings', value: ['a', 'b'] },
      long: { type: 'u32s', value: Array.from({ length: 5000 }, (_, at) => at) },
      last: { type: 'u32', value: 7 }
    },
    []
  )
  writeFileSync(file, bytes)
  const header = readGguf(file)
  t.equal(metadataString(header, 'text'), '日本')
  t.equal(header.metadata.get('yes'), true)
  t.equal(metadataNumber(header, 'minus'), -5)
  t.equal(metadataNumber(header, 'half'), 0.5)
  t.same(metadataPerLayer(header, 'layers', 3), [0, 2, 0])
  t.same(metadataPerLayer(header, 'last', 3), [7, 7, 7])
  t.equal(metadataPerLayer(header, 'none', 3), undefined)
  t.match(header.metadata.get('words'), { length: 2, values: null })
  t.match(header.metadata.get('long'), { length: 5000, values: null })
  t.equal(metadataNumber(header, 'text'), undefined)
})

t.test('a file cut anywhere in its header is refused, never misread', async t => {
  const folder = temporaryFolder(t)
  const whole = tinyModel('llama')
  const { bytes } = readGguf(writeTinyModel('llama', path.join(folder, 'whole.gguf')))
  const file = path.join(folder, 'cut.gguf')
  for (let length = 0; length < bytes.length; length += 97) {
    writeFileSync(file, whole.subarray(0, length))
    t.throws(() => readGguf(file), GgufError, `${length} bytes`)
  }
})

t.test('counts beyond the file are refused at once', async t => {
  const file = path.join(temporaryFolder(t), 'huge.gguf')
  for (const at of [8, 16]) {
    const bytes = Buffer.from(tinyModel('llama'))
    bytes.writeBigUInt64LE(0xffff_ffff_ffffn, at)
    writeFileSync(file, bytes)
    t.throws(() => readGguf(file), GgufError)
  }
})
