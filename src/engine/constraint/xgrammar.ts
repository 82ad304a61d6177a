/**
 * `@mlc-ai/web-xgrammar` (WASM), loaded and narrowed to what is used here. The package is a UMD file inside an ES module
 * package, so neither `import` nor `require` takes it; it is compiled as the CommonJS function that it is.
 *
 * The library is built without C++ exceptions: whatever it dislikes aborts the instance for good. Callers hand it
 * checked grammars only, and treat any throw as the end of the thread.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import vm from 'node:vm'
import type * as Library from '@mlc-ai/web-xgrammar'

/** A token matcher. `mask` and `accept` must alternate with tokens that the mask allowed. */
export interface NativeMatcher {
  /** Bit t of the result (word t >> 5) says whether token t may come next. */
  mask(): Promise<Int32Array>
  /** False: the token does not fit, nothing has changed. */
  accept(token: number): boolean
  dispose(): void
}

export interface NativeGrammar {
  matcher(): Promise<NativeMatcher>
  dispose(): void
}

export interface NativeCompiler {
  compile(ebnf: string): Promise<NativeGrammar>
}

let library: typeof Library | undefined

/**
 * @param pieces bytes of every token; an empty one never fits anything.
 * @param memoryLimit bytes that the WASM instance may grow to; beyond, it aborts.
 */
export async function createNativeCompiler(
  pieces: Uint8Array[],
  stopTokens: number[],
  memoryLimit: number
): Promise<NativeCompiler> {
  library ??= loadLibrary(memoryLimit)
  const { TokenizerInfo, GrammarCompiler, GrammarMatcher } = library
  // The typings ask for strings; the binding copies bytes as they are, which is what pieces of UTF-8 need.
  const info = await TokenizerInfo.createTokenizerInfo(
    pieces as unknown as string[],
    'raw',
    false,
    pieces.length,
    stopTokens
  )
  const compiler = await GrammarCompiler.createGrammarCompiler(info, false)
  return {
    async compile(ebnf) {
      const compiled = await compiler.compileGrammar(ebnf)
      // The library asks the grammar for its tokenizer on every new matcher and never frees that handle.
      const source = {
        handle: compiled.handle,
        tokenizerInfo: () => ({ getVocabSize: () => pieces.length })
      } as unknown as Library.CompiledGrammar
      return {
        async matcher() {
          const matcher = await GrammarMatcher.createGrammarMatcher(source)
          return {
            mask: () => matcher.getNextTokenBitmask(),
            accept: token => matcher.acceptToken(token),
            dispose: () => matcher.dispose()
          }
        },
        dispose: () => compiled.dispose()
      }
    }
  }
}

function loadLibrary(memoryLimit: number): typeof Library {
  const require = createRequire(import.meta.url)
  const file = require.resolve('@mlc-ai/web-xgrammar')
  const exports = {}
  const load = vm.compileFunction(
    readFileSync(file, 'utf8'),
    ['exports', 'module', 'require', '__filename', '__dirname'],
    { filename: file, importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER }
  )
  limitMemory(memoryLimit)
  load.call(exports, exports, { exports }, createRequire(file), file, path.dirname(file))
  return exports as typeof Library
}

/** What is needed of the global `WebAssembly`, which Node's types leave to the DOM. */
interface WasmMemory {
  readonly buffer: ArrayBuffer
  grow(pages: number): number
}
interface Wasm {
  instantiate(...args: unknown[]): Promise<{ instance: { exports: Record<string, unknown> } }>
  Memory: new (...args: never[]) => WasmMemory
}

/** Makes `memory.grow` of instances made in this thread fail above a limit: the runtime then reports out of memory. */
function limitMemory(limit: number): void {
  const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly
  const instantiate = wasm.instantiate
  wasm.instantiate = async (...args) => {
    const result = await instantiate(...args)
    for (const memory of Object.values(result.instance.exports)) {
      if (!(memory instanceof wasm.Memory)) continue
      const grow = memory.grow.bind(memory)
      memory.grow = pages => {
        if (memory.buffer.byteLength + pages * 65_536 > limit) throw new RangeError('constraint memory limit')
        return grow(pages)
      }
    }
    return result
  }
}
