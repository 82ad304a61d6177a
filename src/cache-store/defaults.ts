import { statfsSync } from 'node:fs'
import { homedir, totalmem } from 'node:os'
import path from 'node:path'

const GIB = 1024 ** 3

/** The user's cache folder for this program, by the custom of the platform (XDG base directories on Linux). */
export function defaultCacheFolder(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform
): string {
  if (platform === 'darwin') return path.join(homedir(), 'Library', 'Caches', 'octavo')
  if (platform === 'win32') {
    return path.join(env.LOCALAPPDATA ?? path.join(homedir(), 'AppData', 'Local'), 'octavo', 'cache')
  }
  // The specification: a relative path is to be ignored.
  const base = env.XDG_CACHE_HOME
  return path.join(base && path.isAbsolute(base) ? base : path.join(homedir(), '.cache'), 'octavo')
}

/**
 * Cap of the disk tier where none is given: min(10 GiB, a tenth of what is free where the folder is, or will be).
 * @param held bytes that the cache takes already: they count as free.
 */
export function defaultDiskBytes(folder: string, held = 0): number {
  return Math.floor(Math.min(10 * GIB, (freeBytes(folder) + held) / 10))
}

/** Cap of the RAM tier where none is given: an eighth of the memory, at most 8 GiB. */
export function defaultRamBytes(memory: number = totalmem()): number {
  return Math.floor(Math.min(8 * GIB, memory / 8))
}

/** Of the nearest folder above that exists; 0 when the system does not say. */
function freeBytes(folder: string): number {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    try {
      const { bavail, bsize } = statfsSync(at)
      return bavail * bsize
    } catch {
      if (at === path.dirname(at)) return 0
    }
  }
}
