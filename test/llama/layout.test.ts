import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import t from 'tap'
import koffi from '../../src/llama/ffi.js'
import { contextDefaults, layouts, modelDefaults } from '../../src/llama/layout.js'
import { checkLayout, loadLibrary } from '../../src/llama/library.js'

const compiler = [process.env.CC, 'cc', 'gcc', 'clang'].find(name => name && runs(name, '--version'))
const git = runs('git', '--version')

t.test(
  'the struct layouts are those of the header in node-llama-cpp',
  { skip: compiler && git ? false : 'no C compiler or no git here' },
  async t => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'octavo-layout-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    extractHeaders(folder)
    const measured = compileAndRun(folder)
    for (const [struct, fields] of Object.entries(layouts)) {
      t.equal(koffi.sizeof(struct), measured[`${struct}`], `sizeof ${struct}`)
      for (const field of Object.keys(fields)) {
        const name = `${struct}.${field}`
        t.equal(koffi.offsetof(struct, field), measured[name], name)
      }
    }
  }
)

t.test('the installed library passes the check', async t => {
  const { functions, version } = loadLibrary({ log: 'silent', wantsGpu: false })
  t.equal(checkLayout(functions), version)
})

t.test('another version, or a field that moved, is refused', async t => {
  const functions = (version: string, model: object, context: object) =>
    ({
      llama_version: () => version,
      llama_model_default_params: () => model,
      llama_context_default_params: () => context
    }) as unknown as Parameters<typeof checkLayout>[0]
  const model = defaults('llama_model_params', modelDefaults)
  const context = defaults('llama_context_params', contextDefaults)
  t.equal(checkLayout(functions('0.5.0', model, context)), '0.5.0')
  const refusal = (pattern: RegExp) => ({ name: 'BackendError', code: 'layout_mismatch', message: pattern })
  t.throws(() => checkLayout(functions('0.6.0', model, context)), refusal(/0\.6\.0/))
  t.throws(
    () => checkLayout(functions('0.5.0', model, { ...context, n_batch: 512 })),
    refusal(/llama_context_params\.n_batch/)
  )
  t.throws(
    () => checkLayout(functions('0.5.0', { ...model, main_gpu: 7 }, context)),
    refusal(/llama_model_params\.main_gpu/)
  )
})

function defaults(struct: keyof typeof layouts, known: object): object {
  const zero = (type: string) => (type === 'void *' ? null : type === 'bool' ? false : 0)
  const zeros = Object.entries(layouts[struct]).map(([field, type]) => [field, zero(type)])
  return { ...Object.fromEntries(zeros), ...known }
}

function extractHeaders(folder: string): void {
  const require = createRequire(import.meta.url)
  const root = path.dirname(path.dirname(require.resolve('node-llama-cpp')))
  const clone = path.join(folder, 'clone.git')
  const bundle = path.join(root, 'llama', 'gitRelease.bundle')
  execFileSync('git', ['clone', '--quiet', '--bare', bundle, clone], { stdio: 'ignore' })
  for (const [from, names] of Object.entries({
    include: ['llama.h'],
    'ggml/include': ['ggml.h', 'ggml-cpu.h', 'ggml-backend.h', 'ggml-alloc.h', 'ggml-opt.h', 'gguf.h']
  })) {
    for (const name of names) {
      const text = execFileSync('git', ['-C', clone, 'show', `HEAD:${from}/${name}`])
      writeFileSync(path.join(folder, name), text)
    }
  }
}

function compileAndRun(folder: string): Record<string, number> {
  const lines = Object.entries(layouts).flatMap(([struct, fields]) => [
    `printf("${struct} %zu\\n", sizeof(struct ${struct}));`,
    ...Object.keys(fields).map(
      field => `printf("${struct}.${field} %zu\\n", offsetof(struct ${struct}, ${field}));`
    )
  ])
  const source = path.join(folder, 'layout.c')
  const program = path.join(folder, 'layout')
  writeFileSync(
    source,
    `#include <stddef.h>\n#include <stdio.h>\n#include "llama.h"\nint main(void) {\n${lines.join('\n')}\nreturn 0; }\n`
  )
  execFileSync(compiler!, ['-w', '-I', folder, '-o', program, source])
  const output = execFileSync(program, { encoding: 'utf8' }).trim().split('\n')
  return Object.fromEntries(
    output.map(line => {
      const [name, value] = line.split(' ')
      return [name, Number(value)]
    })
  )
}

function runs(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
