import { stat } from 'node:fs/promises'

/** Tells a file from what stood at the same path before; `missing` when nothing is there. */
export async function fileSignature(path: string): Promise<string> {
  try {
    const { size, mtimeMs, ino } = await stat(path)
    return `${size}:${mtimeMs}:${ino}`
  } catch {
    return 'missing'
  }
}
