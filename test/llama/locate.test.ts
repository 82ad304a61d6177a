import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t from 'tap'
import { findLibraries, librariesIn, type PackageListing, packageNames } from '../../src/llama/locate.js'
import { presentGpus } from '../../src/llama/runtime.js'
import { packageListings } from './package-listings.js'

const listing = (name: string): PackageListing => ({
  folder: path.join('/packages', name, 'bins'),
  files: packageListings[name]!.files
})

t.test('finds the three libraries in every real package layout', async t => {
  const expected: Record<string, [base: string, ggml: string, llama: string, gpu: string | null]> = {
    'linux-x64': ['libggml-base.so', 'libggml.v0.5.0.so', 'libllama.v0.5.0.so', null],
    'linux-x64-cuda': ['libggml-base.so', 'libggml.cuda.v0.5.0.so', 'libllama.cuda.v0.5.0.so', 'cuda'],
    'linux-x64-vulkan': [
      'libggml-base.so',
      'libggml.vulkan.v0.5.0.so',
      'libllama.vulkan.v0.5.0.so',
      'vulkan'
    ],
    'linux-arm64': ['libggml-base.so', 'libggml.v0.5.0.so', 'libllama.v0.5.0.so', null],
    'linux-armv7l': ['libggml-base.so', 'libggml.v0.5.0.so', 'libllama.v0.5.0.so', null],
    'mac-arm64-metal': [
      'libggml-base.dylib',
      'libggml.metal.v0.4.0.dylib',
      'libllama.metal.v0.4.0.dylib',
      'metal'
    ],
    'mac-x64': ['libggml-base.dylib', 'libggml.v0.4.0.dylib', 'libllama.v0.4.0.dylib', null],
    'win-x64': ['ggml-base.dll', 'ggml.v0.4.0.dll', 'llama.v0.4.0.dll', null],
    'win-x64-vulkan': ['ggml-base.dll', 'ggml.vulkan.v0.4.0.dll', 'llama.vulkan.v0.4.0.dll', 'vulkan'],
    'win-arm64': ['ggml-base.dll', 'ggml.v0.4.0.dll', 'llama.v0.4.0.dll', null]
  }
  for (const [name, [ggmlBase, ggml, llama, gpu]] of Object.entries(expected)) {
    const folder = path.join('/packages', name, 'bins', name)
    t.same(
      librariesIn(listing(name)),
      {
        folder,
        ggmlBase: path.join(folder, ggmlBase),
        ggml: path.join(folder, ggml),
        llama: path.join(folder, llama),
        gpu,
        fallbackFolders: []
      },
      name
    )
  }
})

t.test('the companion of the CUDA package adds a folder with an older build of the backend', async t => {
  const found = librariesIn(listing('linux-x64-cuda'), listing('linux-x64-cuda-ext'))
  t.equal(found?.folder, '/packages/linux-x64-cuda/bins/linux-x64-cuda')
  t.same(found?.fallbackFolders, ['/packages/linux-x64-cuda-ext/bins/linux-x64-cuda/fallback'])
})

t.test('a package without libllama holds nothing', async t => {
  t.equal(librariesIn(listing('linux-x64-cuda-ext')), undefined)
  t.equal(librariesIn({ folder: '/x', files: [] }), undefined)
})

t.test('prefers a GPU build where its runtime is there, and ends with the CPU build', async t => {
  t.same(packageNames('linux', 'x64', ['cuda', 'vulkan']), [
    'linux-x64-cuda',
    'linux-x64-vulkan',
    'linux-x64'
  ])
  t.same(packageNames('linux', 'x64', ['vulkan']), ['linux-x64-vulkan', 'linux-x64'])
  t.same(packageNames('linux', 'x64', []), ['linux-x64'])
  t.same(packageNames('linux', 'arm64', ['cuda']), ['linux-arm64'])
  t.same(packageNames('linux', 'arm', []), ['linux-armv7l'])
  t.same(packageNames('win32', 'x64', ['cuda']), ['win-x64-cuda', 'win-x64'])
  t.same(packageNames('darwin', 'arm64', ['metal']), ['mac-arm64-metal'])
  t.same(packageNames('darwin', 'x64', []), ['mac-x64'])
})

t.test('a GPU counts when all libraries it needs can be loaded', async t => {
  const having = (...libraries: string[]) => presentGpus('linux', 'x64', name => libraries.includes(name))
  t.same(having('libcuda.so.1', 'libcudart.so.12', 'libcublas.so.12'), ['cuda'])
  t.same(having('libcuda.so.1'), [], 'a driver without the runtime does not do')
  t.same(having('libvulkan.so.1'), ['vulkan'])
  t.same(having(), [])
  t.same(
    presentGpus('darwin', 'arm64', () => false),
    ['metal']
  )
})

t.test('finds the installed package of this machine', async t => {
  const found = findLibraries({ gpus: [] })
  t.ok(found.length > 0)
  t.equal(found.at(-1)?.gpu, process.platform === 'darwin' && process.arch === 'arm64' ? 'metal' : null)
})

t.test('a folder given by hand is used instead', async t => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'octavo-lib-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  t.same(findLibraries({ gpus: [], override: folder }), [])
  for (const name of ['libggml-base.so', 'libggml.so', 'libllama.so']) {
    writeFileSync(path.join(folder, name), '')
  }
  t.equal(findLibraries({ gpus: [], override: folder })[0]?.llama, path.join(folder, 'libllama.so'))
})
