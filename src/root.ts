import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the package (where `models/` and `package.json` lie), from sources and from compiled code alike. */
export function packageRoot(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const manifest = readManifest(folder)
    if (manifest?.name === 'octavo') return folder
    const parent = path.dirname(folder)
    if (parent === folder) throw new Error('octavo: package.json not found above the program')
    folder = parent
  }
}

export function packageVersion(): string {
  return readManifest(packageRoot())?.version ?? '0.0.0'
}

function readManifest(folder: string): { name?: string; version?: string } | undefined {
  try {
    return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'))
  } catch {
    return undefined
  }
}
