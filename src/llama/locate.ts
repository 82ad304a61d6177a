/**
 * Finds the llama.cpp libraries that node-llama-cpp's platform packages ship. File names carry the variant and the
 * version (`libllama.cuda.v0.5.0.so`), so folders are read, names never guessed.
 */
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

export type Gpu = 'metal' | 'cuda' | 'vulkan'

/** The three libraries of one build, and the folders whose ggml backends go with them. Absolute paths. */
export interface LibraryFiles {
  folder: string
  ggmlBase: string
  ggml: string
  llama: string
  /** What the build can compute on beside the CPU; null for a CPU build. */
  gpu: Gpu | null
  /** Folders with other builds of the GPU backend, tried when the first one does not load (older CUDA runtimes). */
  fallbackFolders: string[]
}

/** A package folder and the files below its `bins`, as relative paths with `/`. */
export interface PackageListing {
  folder: string
  files: string[]
}

const libraryName = (stem: string) => new RegExp(`^(?:lib)?${stem}(?:\\.[\\w.]+)?\\.(?:so|dylib|dll)$`)
const ggmlBasePattern = libraryName('ggml-base')
const ggmlPattern = libraryName('ggml')
const llamaPattern = libraryName('llama')
const gpuBackendPattern = /^(?:lib)?ggml-(?:cuda|vulkan|metal)\.(?:so|dylib|dll)$/

/**
 * Packages that may hold a library for a platform, best first, in node-llama-cpp's order: Metal on Apple Silicon,
 * elsewhere CUDA, Vulkan, CPU.
 */
export function packageNames(platform: string, arch: string, gpus: readonly Gpu[]): string[] {
  const system = platform === 'win32' ? 'win' : platform === 'darwin' ? 'mac' : platform
  const machine = arch === 'arm' ? 'armv7l' : arch
  if (system === 'mac') return [machine === 'arm64' ? 'mac-arm64-metal' : 'mac-x64']
  const withGpu = machine === 'x64' ? (['cuda', 'vulkan'] as const).filter(gpu => gpus.includes(gpu)) : []
  return [...withGpu.map(gpu => `${system}-${machine}-${gpu}`), `${system}-${machine}`]
}

/**
 * The libraries in a package, from its listing and that of its `-ext` companion.
 * Returns undefined when the three libraries are not there.
 */
export function librariesIn(main: PackageListing, companion?: PackageListing): LibraryFiles | undefined {
  const byFolder = groupByFolder(main.files)
  for (const [relative, files] of byFolder) {
    const names = files.map(file => path.posix.basename(file))
    const ggmlBase = names.find(name => ggmlBasePattern.test(name))
    const ggml = names.find(name => ggmlPattern.test(name))
    const llama = names.find(name => llamaPattern.test(name))
    if (!ggmlBase || !ggml || !llama) continue
    const folder = path.join(main.folder, relative)
    return {
      folder,
      ggmlBase: path.join(folder, ggmlBase),
      ggml: path.join(folder, ggml),
      llama: path.join(folder, llama),
      gpu: gpuOf(names),
      fallbackFolders: [...backendFolders(main), ...(companion ? backendFolders(companion) : [])].filter(
        other => other !== folder
      )
    }
  }
  return undefined
}

/**
 * All usable builds on this machine, best first.
 * `OCTAVO_LLAMA_LIB` names a folder to be used instead.
 */
export function findLibraries(options: {
  gpus: readonly Gpu[]
  platform?: string
  arch?: string
  override?: string
}): LibraryFiles[] {
  if (options.override) {
    const found = librariesIn(list(options.override))
    return found ? [found] : []
  }
  const { platform = process.platform, arch = process.arch } = options
  return packageNames(platform, arch, options.gpus).flatMap(name => {
    const folder = packageFolder(`@node-llama-cpp/${name}`)
    if (!folder) return []
    const companion = packageFolder(`@node-llama-cpp/${name}-ext`)
    const found = librariesIn(
      list(path.join(folder, 'bins')),
      companion ? list(path.join(companion, 'bins')) : undefined
    )
    return found ? [found] : []
  })
}

function gpuOf(names: string[]): Gpu | null {
  for (const gpu of ['metal', 'cuda', 'vulkan'] as const) {
    if (names.some(name => gpuBackendPattern.test(name) && name.includes(gpu))) return gpu
  }
  return null
}

function backendFolders(listing: PackageListing): string[] {
  const holders = listing.files.filter(file => gpuBackendPattern.test(path.posix.basename(file)))
  return [...new Set(holders.map(file => path.join(listing.folder, path.posix.dirname(file))))]
}

function groupByFolder(files: string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const file of files) {
    const folder = path.posix.dirname(file)
    const group = groups.get(folder)
    if (group) group.push(file)
    else groups.set(folder, [file])
  }
  return groups
}

function list(folder: string): PackageListing {
  try {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    return { folder, files: files.map(file => file.split(path.sep).join('/')) }
  } catch {
    return { folder, files: [] }
  }
}

/** The packages are dependencies of node-llama-cpp, so they may lie beside it or below it. */
function packageFolder(name: string): string | undefined {
  const own = createRequire(import.meta.url)
  for (const origin of [() => own, () => createRequire(own.resolve('node-llama-cpp'))]) {
    try {
      return path.dirname(path.dirname(origin().resolve(name)))
    } catch {}
  }
  return undefined
}
