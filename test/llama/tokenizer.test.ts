import t from 'tap'
import type { Backend } from '../../src/engine/backend.js'
import type { Functions } from '../../src/llama/library.js'
import { Tokenizer } from '../../src/llama/tokenizer.js'
import { small, tiny } from './support/backends.js'

const plain = { addSpecial: false, parseSpecial: false }
const texts = [
  'The sky is blue.',
  'naïve café, Größe, 日本語テキスト, 🎉👩‍👩‍👧 and \u0000 too',
  '   leading and trailing   ',
  'line\nbreaks\r\nand\ttabs',
  'lone \ud800 surrogate'
]

t.test('text comes back as it went in', async t => {
  const backends = {
    'gpt2 (real)': await small(t),
    'gpt2 (tiny)': await tiny(t, 'llama'),
    'spm (tiny)': await tiny(t, 'llama', {}, { vocabulary: 'spm' })
  }
  for (const [name, backend] of Object.entries(backends)) {
    for (const text of texts) {
      const tokens = await backend.tokenize(text, plain)
      const back = join(backend, tokens)
      // SentencePiece puts a space in front of a text.
      const expected = Buffer.from(name.startsWith('spm') ? ` ${text}` : text).toString()
      t.equal(back, expected, `${name}: ${JSON.stringify(text)}`)
    }
    t.equal((await backend.tokenize('', plain)).length, 0)
  }
})

t.test('bytes of one character may lie in several tokens', async t => {
  const backend = await tiny(t, 'llama', {}, { vocabulary: 'spm' })
  const tokens = [...(await backend.tokenize('🎉', plain))]
  const bytes = tokens.slice(-4).map(token => [...backend.piece(token)])
  t.same(bytes, [[0xf0], [0x9f], [0x8e], [0x89]])
})

t.test('a large text is tokenized on another thread to the same tokens', async t => {
  const backend = await small(t)
  const word = 'Paged caches 日本 share prefixes.\n'
  const pieces = await Promise.all(
    Array.from({ length: 6 }, () => backend.tokenize(word.repeat(2000), plain))
  )
  const once = await backend.tokenize(word.repeat(20), plain)
  for (const tokens of pieces) {
    t.equal(tokens.length, once.length * 100)
    t.equal(join(backend, tokens.slice(0, once.length)), word.repeat(20))
    t.same(tokens, pieces[0])
  }
})

t.test('a long text of one kind of character is survived', async t => {
  const backend = await small(t)
  for (const character of ['a', ' ', '日', '1', '\n']) {
    const tokens = await backend.tokenize(character.repeat(100_000), plain)
    t.equal(join(backend, tokens), character.repeat(100_000))
  }
})

t.test('special tokens are read and shown only when asked', async t => {
  const backend = await small(t)
  const text = '<|im_start|>user'
  const special = await backend.tokenize(text, { addSpecial: false, parseSpecial: true })
  const raw = await backend.tokenize(text, plain)
  t.equal(special[0], 1)
  t.ok(raw.length > special.length)
  t.equal(join(backend, raw), text)
  t.equal(backend.piece(1).length, 0, 'control tokens have no text')
  t.equal(Buffer.from(backend.piece(1, true)).toString(), '<|im_start|>')
  t.equal(backend.piece(500), backend.piece(500), 'pieces are cached')
  t.throws(() => backend.piece(6400), RangeError)
  t.throws(() => backend.piece(-1), RangeError)
})

t.test('BOS is added where the vocabulary asks for it', async t => {
  const options = { addSpecial: true, parseSpecial: false }
  const spm = await tiny(t, 'llama', {}, { vocabulary: 'spm' })
  t.equal((await spm.tokenize('a', options))[0], 1)
  t.equal(spm.info.addsBos, true)
  t.equal(spm.info.bosText, '<s>')
  const bpe = await tiny(t, 'llama')
  t.not((await bpe.tokenize('a', options))[0], 0)
  t.equal(bpe.info.addsBos, false)
})

t.test('a vocabulary that asks for a BOS it does not have gets none', async t => {
  // No file of ours can say so: the library corrects it. Its assertion would end the process.
  const asked: boolean[] = []
  const functions = {
    llama_vocab_get_add_bos: () => true,
    llama_vocab_get_add_eos: () => false,
    llama_vocab_get_add_sep: () => false,
    llama_vocab_bos: () => -1,
    llama_vocab_eos: () => -1,
    llama_vocab_sep: () => -1,
    llama_tokenize: (...args: unknown[]) => {
      asked.push(args[5] as boolean)
      return 0
    }
  } as unknown as Functions
  await new Tokenizer(functions, null, 10).tokenize('a', { addSpecial: true, parseSpecial: false })
  t.same(asked, [false])
})

t.test('knows the tokens that end an answer', async t => {
  const backend = await small(t)
  t.equal(backend.isEndOfGeneration(2), true)
  t.equal(backend.isEndOfGeneration(500), false)
  t.throws(() => backend.isEndOfGeneration(6400), RangeError)
})

function join(backend: Backend, tokens: Int32Array): string {
  return Buffer.concat([...tokens].map(token => backend.piece(token))).toString()
}
