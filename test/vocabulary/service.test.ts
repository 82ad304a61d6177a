import { copyFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/root.js'
import type { Examined } from '../../src/vocabulary/messages.js'
import { VocabularyService } from '../../src/vocabulary/service.js'
import { alive, until } from '../models/helpers.js'
import { writeTinyModel } from '../support/gguf/tiny-models.js'

const file = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')
const silent = { debug() {}, info() {}, warn() {}, error() {} }

const words = { text: 'Hello', addSpecial: false, parseSpecial: true }
const plain: Examined = {
  prompt: [{ type: 'text', text: 'Hello there', addSpecial: true, parseSpecial: true }],
  constraint: null,
  sampling: { logitBias: [] }
}

t.test('answers about files, in one process', async t => {
  const service = new VocabularyService(silent)
  t.teardown(() => service.close())
  t.equal(service.pid, undefined, 'nothing runs before it is asked')
  const [info, tokens] = await Promise.all([
    service.ask(file, 'open', null),
    service.ask(file, 'tokenize', words)
  ])
  const { pid } = service
  t.equal(info.vocabularySize, 6400)
  t.equal(await service.ask(file, 'detokenize', { tokens, special: true }), 'Hello')
  t.equal(Buffer.from((await service.ask(file, 'pieces', { tokens })).flat()).toString(), 'Hello')

  t.equal(await service.ask(file, 'examine', { request: plain, limit: 100 }), null)
  t.match(await service.ask(file, 'examine', { request: plain, limit: 2 }), { kind: 'tooLong', limit: 2 })
  const wrong: Array<[param: string, what: Partial<Examined>]> = [
    ['prompt', { prompt: [] }],
    ['prompt', { prompt: [{ type: 'tokens', tokens: [6400] }] }],
    ['logit_bias', { sampling: { logitBias: [{ token: 6400, bias: 1 }] } }],
    ['grammar', { constraint: { type: 'grammar', grammar: 'root ::= (' } }]
  ]
  for (const [param, what] of wrong) {
    const request = { ...plain, ...what }
    t.match(await service.ask(file, 'examine', { request, limit: 100 }), { kind: 'invalid', param })
  }
  t.equal(service.pid, pid)
})

t.test('files that have no vocabulary, and one that is replaced', async t => {
  const folder = t.testdir({ 'text.gguf': 'GGUF and then nothing' })
  const at = (name: string) => path.join(folder, name)
  const service = new VocabularyService(silent)
  t.teardown(() => service.close())
  copyFileSync(file, at('cut.gguf'))
  truncateSync(at('cut.gguf'), 100_000)
  for (const name of ['text', 'cut', 'none']) await t.rejects(service.ask(at(`${name}.gguf`), 'open', null))
  const { vocabularySize } = await service.ask(writeTinyModel('llama', at('model.gguf')), 'open', null)
  rmSync(at('model.gguf'))
  copyFileSync(file, at('model.gguf'))
  t.not((await service.ask(at('model.gguf'), 'open', null)).vocabularySize, vocabularySize)
})

t.test('more models than are kept', async t => {
  const folder = t.testdir({})
  const service = new VocabularyService(silent)
  t.teardown(() => service.close())
  const files = Array.from({ length: 7 }, (_, i) => writeTinyModel('llama', path.join(folder, `${i}.gguf`)))
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all(files.map(one => service.ask(one, 'tokenize', words)))
    t.ok(answers.every(tokens => tokens.length > 0))
  }
})

t.test('a process that dies costs its answers, and is started again', async t => {
  const service = new VocabularyService(silent)
  t.teardown(() => service.close())
  await service.ask(file, 'open', null)
  const dead = service.pid!
  process.kill(dead, 'SIGSTOP')
  const lost = service.ask(file, 'open', null)
  process.kill(dead, 'SIGKILL')
  await t.rejects(lost, { message: /ended/ })
  t.equal((await service.ask(file, 'open', null)).vocabularySize, 6400)
  t.not(service.pid, dead)
})

t.test('a program that fails at once', async t => {
  const entry = path.join(t.testdir({}), 'fails.mjs')
  writeFileSync(entry, 'process.exit(1)')
  const service = new VocabularyService(silent, entry)
  await t.rejects(service.ask(file, 'open', null))
  service.close()
})

t.test('closed, it is gone and answers nothing', async t => {
  const service = new VocabularyService(silent)
  await service.ask(file, 'open', null)
  const pid = service.pid!
  service.close()
  await until('gone', () => !alive(pid))
  await t.rejects(service.ask(file, 'open', null), { message: /closed/ })
})
