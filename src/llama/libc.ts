import koffi from './ffi.js'

type LoadedLibrary = ReturnType<typeof koffi.load>

/** Before its version 2.34 glibc had semaphores in a library of their own. */
const names: Partial<Record<NodeJS.Platform, string[]>> = {
  linux: ['libc.so.6', 'libpthread.so.0', 'libc.so', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1'],
  darwin: ['/usr/lib/libSystem.B.dylib'],
  win32: ['ucrtbase.dll', 'msvcrt.dll']
}

/** Something of the C library; null where it cannot be had. */
export function fromC<T>(find: (library: LoadedLibrary) => T): T | null {
  for (const name of names[process.platform] ?? ['libc.so']) {
    try {
      return find(koffi.load(name))
    } catch {}
  }
  return null
}
