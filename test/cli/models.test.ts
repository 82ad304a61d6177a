import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { modelEntries, modelOptions } from '../../src/cli/models.js'
import { readWarmup } from '../../src/cli/warmup.js'
import { loadConfig } from '../../src/config.js'
import { embedded } from '../failures/serving.js'
import { writeTinyModel } from '../support/gguf/tiny-models.js'
import { octavo } from './octavo.js'

const machine = { memory: 24e9, gpuMemory: null, cores: 8 }

function options(argv: string[]) {
  const config = loadConfig(argv, {})
  const entries = modelEntries(config)
  return modelOptions(
    config,
    entries,
    entries.map(entry => entry.file),
    machine
  )
}

t.test('the model of the package, where none is named', async t => {
  t.match(options([]), [{ id: 'MiniMind2-Small-26M-q8_0', file: embedded }])
  t.match(options(['-a', 'x,*']), [{ id: 'x', aliases: ['*'] }])
})

t.test('several, with settings of their own', async t => {
  const models = [{ model: embedded, alias: ['b', 'c'], 'ctx-size': 512, parallel: 2, ttl: 60, pinned: true }]
  const [first, second, third] = options([
    '-m',
    embedded,
    '--model=/some/other, with a comma.gguf',
    '-a',
    'a',
    '--models',
    JSON.stringify(models)
  ])
  t.match(first, { id: 'a', file: embedded })
  t.match(second, { id: 'other, with a comma' })
  t.match(third, { id: 'b', aliases: ['c'], ttlMs: 60_000, pinned: true })
  t.match(third!.plan(), { config: { contextCells: 512, parallel: 2 } })
  t.ok(first!.plan().bytes > third!.plan().bytes)
})

t.test('the RAM tier is part of the plan', async t => {
  const MIB = 2 ** 20
  const plan = (...argv: string[]) => options(argv)[0]!.plan()
  const without = plan('--cache-ram', '0').bytes
  const ram = (...argv: string[]) => {
    const { config, bytes } = plan(...argv)
    t.equal(bytes, without + config.tiers!.ramBytes, 'counted')
    return config.tiers!.ramBytes
  }
  t.equal(ram('--cache-ram', '300'), 300 * MIB)
  t.equal(ram('-m', embedded, '-m', embedded, '--cache-ram', '300'), 300 * MIB, 'what is said is for each')
  const alone = ram()
  t.ok(Math.abs(ram('-m', embedded, '-m', embedded) - alone / 2) <= 1, 'what is not is divided')
  const six = Array.from({ length: 6 }, () => ['-m', embedded]).flat()
  t.ok(Math.abs(ram(...six) - alone / 4) <= 1, 'by four at most')
  const budget = without + 100 * MIB
  t.equal(ram('--memory-budget', String(budget)), 100 * MIB, 'no more than is left beside the model')
  t.equal(ram('--memory-budget', String(budget), '--cache-ram', '4000'), 100 * MIB)
  t.equal(ram('--memory-budget', String(budget), '--cache-ram', '50'), 50 * MIB)
  t.equal(ram('--memory-budget', String(without + MIB)), 0, 'rather none than hardly any')
  t.equal(ram('--memory-budget', String(without + MIB), '--cache-ram', '1'), MIB)
  t.equal(ram('--memory-budget', String(without - MIB)), 0)
})

t.test('a folder: every model once, by its name, parts and projectors left out', async t => {
  const folder = t.testdir({})
  for (const name of ['a/one.gguf', 'b/one.gguf', 'two.GGUF', 'mmproj-two.gguf', 'notes.txt']) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    writeFileSync(path.join(folder, name), '')
  }
  for (const part of ['00001', '00002']) writeFileSync(path.join(folder, `big-${part}-of-00002.gguf`), '')
  t.same(
    options(['--models-dir', folder]).map(model => model.id),
    ['one', 'b/one', 'big-00001-of-00002', 'two']
  )
  t.throws(() => options(['--models-dir', path.join(folder, 'none')]), /--models-dir: cannot read/)
  mkdirSync(path.join(folder, 'empty'))
  t.throws(() => options(['--models-dir', path.join(folder, 'empty')]), /holds no GGUF file/)
})

t.test('a warm-up file that is none', async t => {
  const folder = t.testdir({ 'a.json': '{}', 'b.json': '{', 'c.json': '[{"prompt":"x","model":"m"}]' })
  t.throws(() => readWarmup(path.join(folder, 'a.json')), /must hold an object with messages or prompt/)
  t.throws(() => readWarmup(path.join(folder, 'b.json')), /cannot be read as JSON/)
  t.same(readWarmup(path.join(folder, 'c.json')), [{ model: 'm', body: { prompt: 'x' } }])
})

t.test('the whole program: a folder of models, a warm-up, a log file', async t => {
  const folder = t.testdir({
    'warm.json': JSON.stringify({ messages: [{ role: 'system', content: 'Be brief. '.repeat(40) }] })
  })
  copyFileSync(embedded, path.join(folder, 'first.gguf'))
  writeTinyModel('llama', path.join(folder, 'second.gguf'))
  const server = octavo(t, [
    '--port',
    '0',
    '--models-dir',
    folder,
    '--warmup',
    path.join(folder, 'warm.json'),
    '--log-file',
    path.join(folder, 'log'),
    '--api-key',
    'secret'
  ])
  const { address } = JSON.parse(await server.line(/"msg":"ready"/))
  t.match(JSON.parse(await server.line(/"msg":"warmed up"/)), { id: 'first', cached_tokens: 0 })
  const headers = { 'content-type': 'application/json', 'x-api-key': 'secret' }
  for (const model of ['first', 'second']) {
    const messages = [
      { role: 'system', content: 'Be brief. '.repeat(40) },
      { role: 'user', content: 'A secret question' }
    ]
    const body = JSON.stringify({ model, messages, max_tokens: 3, ignore_eos: true })
    const reply = await fetch(`${address}/v1/chat/completions`, { method: 'POST', headers, body })
    t.equal(reply.status, 200)
  }
  server.child.kill('SIGTERM')
  t.same(await server.ended, [0, null])
  await setTimeout(10)
  const name = readdirSync(folder).find(file => file.startsWith('log'))!
  const records = readFileSync(path.join(folder, name), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  const requests = records.filter(record => record.msg === 'request' && /completions/.test(record.url))
  t.match(requests, [
    { model: 'first', status: 200, generated: 3, prompt: Number, ttftMs: Number, ms: Number, reqId: String },
    { model: 'second', status: 200, generated: 3, cached: 0 }
  ])
  t.ok(requests[0].cached > 100, 'warmed up for this key')
  t.ok(records.some(record => record.msg === 'drained'))
  t.notMatch(JSON.stringify(records), /secret question|Be brief/)
})

t.test('a log file that cannot be written', async t => {
  const server = octavo(t, ['--log-file', '/none/such/log'])
  t.same(await server.ended, [2, null])
  t.match(server.stderr(), /^octavo: --log-file: cannot write \/none\/such\/log \(ENOENT\)\n$/)
})
