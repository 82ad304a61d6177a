import { copyFileSync, truncateSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { loadVocabulary } from '../../src/llama/vocabulary.js'
import { writeTinyModel } from '../support/gguf/tiny-models.js'
import { small, smallModel } from './support/backends.js'

t.test('says what the whole model says', async t => {
  const vocabulary = await loadVocabulary(smallModel)
  t.teardown(() => vocabulary.dispose())
  const backend = await small(t, { contextCells: 256, sequenceIds: 2, batchRows: 64 })
  for (const field of [
    'path',
    'name',
    'architecture',
    'trainingContext',
    'embeddingLength',
    'vocabularySize',
    'chatTemplate',
    'bosText',
    'eosText',
    'addsBos',
    'tokenizer',
    'libraryVersion'
  ] as const) {
    t.equal(vocabulary.info[field], backend.info[field], field)
  }
  for (const text of ['', 'Hello', '<|im_start|>user\nGrüße, 世界 🌍<|im_end|>', 'word '.repeat(1000)]) {
    for (const parseSpecial of [true, false]) {
      const options = { addSpecial: true, parseSpecial }
      t.same(await vocabulary.tokenize(text, options), await backend.tokenize(text, options))
    }
  }
  for (let token = 0; token < backend.info.vocabularySize; token += 7) {
    t.same(vocabulary.piece(token, true), backend.piece(token, true))
    t.equal(vocabulary.isEndOfGeneration(token), backend.isEndOfGeneration(token))
  }
})

t.test('several at once, of several models', async t => {
  const tiny = writeTinyModel('llama', path.join(t.testdir({}), 'tiny.gguf'))
  const loaded = await Promise.all([smallModel, tiny, smallModel].map(loadVocabulary))
  t.same(
    loaded.map(({ info }) => info.vocabularySize > 0),
    [true, true, true]
  )
  t.not(loaded[0]!.info.vocabularySize, loaded[1]!.info.vocabularySize)
  for (const vocabulary of loaded) vocabulary.dispose()
})

t.test('a file that has none is refused', async t => {
  const folder = t.testdir({ 'text.gguf': 'GGUF and then nothing' })
  const cut = path.join(folder, 'cut.gguf')
  copyFileSync(smallModel, cut)
  truncateSync(cut, 100_000)
  await t.rejects(loadVocabulary(path.join(folder, 'text.gguf')), { code: 'load_failed' })
  await t.rejects(loadVocabulary(cut), { code: 'load_failed' })
  await t.rejects(loadVocabulary(path.join(folder, 'none.gguf')), {
    code: 'load_failed',
    message: /there is no file/
  })
})
