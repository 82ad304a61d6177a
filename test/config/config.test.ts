import path from 'node:path'
import t from 'tap'
import { type Config, loadConfig } from '../../src/config.js'

const load = (argv: string[] = [], env: NodeJS.ProcessEnv = {}): Config => loadConfig(argv, env)

t.test('defaults', async t => {
  t.match(load(), {
    host: '127.0.0.1',
    port: 8080,
    ctxSize: 'auto',
    batchSize: 512,
    cacheTypeK: 'f16',
    apiKey: [],
    reproducible: false
  })
})

t.test("flags have llama-server's names and forms", async t => {
  const argv =
    '-m a.gguf -c 4096 -np 4 -b 256 -t 2 -ngl 99 -ctk q8_0 -ctv q8_0 -fa on --host 0.0.0.0 --port=9'
  t.match(load(argv.split(' ')), {
    model: ['a.gguf'],
    ctxSize: 4096,
    parallel: 4,
    batchSize: 256,
    threads: 2,
    gpuLayers: 99,
    cacheTypeK: 'q8_0',
    cacheTypeV: 'q8_0',
    flashAttn: 'on',
    host: '0.0.0.0',
    port: 9
  })
  t.match(load(['-np', '-1', '-t', '-1', '-ngl', '-1', '-c', '0']), {
    parallel: 'auto',
    threads: 'auto',
    gpuLayers: 'auto',
    ctxSize: 0
  })
  t.equal(load(['--n-gpu-layers', 'all']).gpuLayers, 'all')
})

t.test('switches, lists, sizes, and the last of two', async t => {
  t.equal(load(['--reproducible']).reproducible, true)
  t.equal(load(['--reproducible', '--no-reproducible']).reproducible, false)
  t.equal(load(['--reproducible=off']).reproducible, false)
  t.same(load(['--api-key', 'a,b', '--api-key=c']).apiKey, ['a', 'b', 'c'])
  t.same(load(['--alias', '*']).alias, ['*'])
  t.equal(load(['--alias', '123']).alias[0], '123', 'digits stay text where text is wanted')
  t.equal(load(['--body-limit', '64m']).bodyLimit, 64 * 2 ** 20)
  t.equal(load(['--body-limit', '2048']).bodyLimit, 2048)
  t.equal(load(['--keep-alive-comments', '0.5']).keepAliveComments, 0.5)
  t.equal(load(['--port', '1', '--port', '2']).port, 2)
})

t.test('flags win over the environment, it over the file, that over the defaults', async t => {
  const folder = t.testdir({ 'octavo.json': '{ "port": 1, "ctx-size": 1, "threads": 1, "api-key": ["f"] }' })
  const file = path.join(folder, 'octavo.json')
  const env = { OCTAVO_CONFIG: file, OCTAVO_PORT: '2', OCTAVO_CTX_SIZE: '2', OCTAVO_BATCH_SIZE: '' }
  t.match(load(['--port', '3'], env), { port: 3, ctxSize: 2, threads: 1, apiKey: ['f'], batchSize: 512 })
  t.match(load(['--config', file]), { port: 1, ctxSize: 1 })
  t.same(load(['--api-key', 'x'], env).apiKey, ['x'], 'a list replaces a weaker one')
})

t.test('keys of a file join those of the flag', async t => {
  const folder = t.testdir({ keys: 'one\n\n two \n', empty: '\n' })
  const file = path.join(folder, 'keys')
  t.same(load(['--api-key', 'zero', '--api-key-file', file]).apiKey, ['zero', 'one', 'two'])
  t.throws(() => load(['--api-key-file', path.join(folder, 'empty')]), /^--api-key-file: .*holds no key$/)
  t.throws(() => load(['--api-key-file', '/none']), /^--api-key-file: cannot read \/none \(ENOENT\)$/)
})

t.test('what is wrong is said in one line that names the flag, the variable or the key', async t => {
  const folder = t.testdir({
    'typo.json': '{ "prot": 1 }',
    'type.json': '{ "port": true }',
    'list.json': '[]',
    'self.json': '{ "config": "other.json" }',
    'broken.json': '{ "port": '
  })
  const file = (name: string) => ['--config', path.join(folder, name)]
  const cases: Array<[argv: string[], expected: RegExp, env?: NodeJS.ProcessEnv]> = [
    [['--prot', '1'], /^unknown flag --prot: did you mean --port\?$/],
    [['--ctxsize=1'], /^unknown flag --ctxsize: did you mean --ctx-size\?$/],
    [['--no-port'], /^unknown flag --no-port/],
    [['--entirely-different'], /^unknown flag --entirely-different$/],
    [['--port'], /^--port: needs a value \(PORT\)$/],
    [['--port', '--host', 'x'], /^--port: needs a value \(PORT\)$/],
    [['--port', 'x'], /^--port: "x" is not a whole number from 0 to 65535$/],
    [['--port', '70000'], /^--port: "70000" is not/],
    [['--port', '1.5'], /^--port: "1.5" is not/],
    [['-c', '-5'], /^-c: "-5" is not a whole number of at least 0 or auto$/],
    [['-ctk', 'q9'], /^-ctk: "q9" is not one of f32, f16, /],
    [['--reproducible=maybe'], /^--reproducible: "maybe" is not true or false$/],
    [['--no-reproducible=true'], /^--no-reproducible: takes no value$/],
    [['model.gguf'], /^unexpected argument "model.gguf": a model is given as --model model.gguf$/],
    [['-ctv', 'q8_0', '-fa', 'off'], /^--cache-type-v q8_0 needs flash attention/],
    [[], /^OCTAVO_PORT: "x" is not a whole number/, { OCTAVO_PORT: 'x' }],
    [[], /^unknown variable OCTAVO_PROT: did you mean OCTAVO_PORT\?$/, { OCTAVO_PROT: '1' }],
    [file('typo.json'), /typo\.json: unknown key "prot": did you mean port\?$/],
    [file('type.json'), /type\.json: port: "true" is not a whole number/],
    [file('list.json'), /list\.json: must hold a JSON object$/],
    [file('self.json'), /self\.json: unknown key "config"/],
    [file('broken.json'), /broken\.json: not valid JSON \(/],
    [file('none.json'), /^--config: cannot read .*none\.json \(ENOENT\)$/]
  ]
  for (const [argv, message, env] of cases) {
    t.throws(() => load(argv, env), { name: 'UsageError', message }, String(message))
  }
})

t.test('variables of other programs are left alone', async t => {
  t.equal(load([], { OCTAVO_TEST_LONG: '1', OCTAVO_HOME_FOLDER: '/x', PORT: '1' }).port, 8080)
})
