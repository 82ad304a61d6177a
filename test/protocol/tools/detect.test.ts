import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { readGguf } from '../../../src/llama/gguf.js'
import { describeTools } from '../../../src/protocol/tools/describe.js'
import { detectThinking, detectToolFormat } from '../../../src/protocol/tools/detect.js'
import { packageRoot } from '../../../src/root.js'

const template = (name: string) =>
  readFileSync(path.join(packageRoot(), 'test/fixtures/templates', `${name}.jinja`), 'utf8')

t.test('tells the syntax by the template of the model', async t => {
  t.equal(detectToolFormat(template('Qwen-Qwen3-0.6B')), 'hermes')
  t.equal(detectToolFormat(template('meta-llama-Llama-3.1-8B-Instruct')), 'llama3')
  t.equal(detectToolFormat(template('mistralai-Mistral-Nemo-Instruct-2407')), 'mistral')
  t.equal(detectToolFormat(template('llama-cpp-deepseek-r1')), 'deepseek')
  t.equal(detectToolFormat(template('meetkai-functionary-medium-v3.1')), 'function-tag')
  t.equal(detectToolFormat(template('google-gemma-2-2b-it')), 'generic')
  t.equal(detectToolFormat("{{ '[TOOL_CALLS]' + name + '[ARGS]' }}"), 'mistral-args')
  t.equal(detectToolFormat("{{ '<｜tool▁calls▁begin｜>' }}"), 'deepseek-v3.1')
  t.equal(detectToolFormat("{{ '<|channel|>commentary to=functions.' + name + '<|message|>' }}"), 'harmony')
  t.equal(
    detectToolFormat("{{ '<tool_call>' + name + '<arg_key>' }}"),
    'generic',
    'a dialect that is not spoken'
  )
  t.equal(detectToolFormat(template('Qwen3-Coder')), 'qwen-coder')
  t.equal(detectToolFormat(template('GLM-4.6')), 'glm')
  t.equal(detectToolFormat(template('moonshotai-Kimi-K2')), 'kimi')
  t.equal(detectToolFormat(template('MiniMax-M2')), 'minimax')
  t.equal(detectToolFormat(null), 'generic')
})

t.test('the embedded model speaks hermes', async t => {
  const file = path.join(packageRoot(), 'models/MiniMind2-Small-26M-q8_0.gguf')
  t.equal(detectToolFormat(String(readGguf(file).metadata.get('tokenizer.chat_template'))), 'hermes')
})

t.test('tells thinking by the template and by the end of the prompt', async t => {
  const qwen = template('Qwen-Qwen3-0.6B')
  t.same(detectThinking(qwen, '<|im_start|>assistant\n'), {
    kind: 'tags',
    open: '<think>',
    close: '</think>',
    opened: false
  })
  t.match(detectThinking(qwen, '<|im_start|>assistant\n<think>\n'), { opened: true })
  t.equal(detectThinking(template('mistralai-Mistral-Nemo-Instruct-2407'), '[/INST]'), null)
  t.equal(detectThinking(null, ''), null)
})

t.test('describes tools in the order they were given', async t => {
  const text = describeTools([
    { name: 'b', description: 'second letter', parameters: { z: 1, a: 2 } },
    { name: 'a' }
  ])
  t.ok(text.indexOf('"name":"b"') < text.indexOf('"name":"a"'))
  t.ok(text.includes('{"z":1,"a":2}'))
})
