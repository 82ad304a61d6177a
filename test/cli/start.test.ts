import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { packageRoot, packageVersion } from '../../src/root.js'
import { octavo, takenPort } from './octavo.js'

const shipped = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')

t.test('version and help', async t => {
  const run = async (...args: string[]) => {
    const program = octavo(t, args)
    const [code] = await program.ended
    return { code, out: program.stdout(), err: program.stderr() }
  }
  t.same(await run('--version'), { code: 0, out: `${packageVersion()}\n`, err: '' })
  const overview = await run('--help')
  t.match(overview, { code: 0, out: /octavo \[serve\] \[flags\]/, err: '' })
  const help = await run('serve', '--help')
  t.match(help, { code: 0, out: /-c, --ctx-size N/, err: '' })
  t.same(await run('--port', '1', '-h'), help, 'help wins over everything else on the line')
})

t.test('what a person did wrong is one line, never a stack trace', async t => {
  const model = readFileSync(shipped)
  const folder = t.testdir({
    'text.gguf': 'no model',
    'cut.gguf': model.subarray(0, 20_000_000),
    'damaged.gguf': Buffer.concat([
      model.subarray(0, 100),
      Buffer.alloc(100_000, 0xff),
      model.subarray(100_100)
    ]),
    'vocabulary.gguf': vocabularyOnly(model)
  })
  const file = (name: string) => ['--port', '0', '-m', path.join(folder, name)]
  const port = String(await takenPort(t))
  const cases: Array<[args: string[], code: number, line: RegExp]> = [
    [['--prot', '1'], 2, /^octavo: unknown flag --prot: did you mean --port\?\n$/],
    [['sevre'], 2, /^octavo: unknown command "sevre": did you mean serve\?\n$/],
    [['--port', 'x'], 2, /^octavo: --port: "x" is not a whole number/],
    [file('none.gguf'), 1, /^octavo: model file not found: \/[^\n]*none\.gguf\n$/],
    [file('text.gguf'), 1, /^octavo: [^\n]*text\.gguf is not a GGUF file\n$/],
    [file('cut.gguf'), 1, /^octavo: [^\n]*cut\.gguf is cut short[^\n]*\n$/],
    [file('damaged.gguf'), 1, /^octavo: [^\n]*damaged\.gguf [^\n]*\n$/],
    [file('vocabulary.gguf'), 1, /^octavo: vocabulary\.gguf holds a vocabulary only, no weights\n$/],
    [['--port', port], 1, /^octavo: port \d+ of 127\.0\.0\.1 is in use; choose another with --port\n$/],
    [
      ['--port', '0', '-c', '2000000000'],
      1,
      /^octavo: MiniMind2[^\n]* takes [\d.]+ GiB of memory, [^\n]+\n$/
    ],
    [['-m', 'hf:nobody'], 1, /^octavo: hf:nobody: should be hf:owner\/repo:quant/]
  ]
  for (const [args, code, line] of cases) {
    const program = octavo(t, args)
    t.same(await program.ended, [code, null], args.join(' '))
    t.match(program.stderr(), line)
    t.equal(program.stdout(), '')
  }
})

/** The file with its number of tensors set to 0. */
function vocabularyOnly(model: Buffer): Buffer {
  const copy = Buffer.from(model)
  copy.writeBigUInt64LE(0n, 8)
  return copy
}
