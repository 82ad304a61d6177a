import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import type { GgufHeader } from './gguf.js'

/** What stored cells depend on, beside the model file. */
export interface FingerprintSettings {
  cacheTypeK: string
  cacheTypeV: string
  layout: string
  flashAttention: string
  libraryVersion: string
}

const samples = 64
const sampleBytes = 4096

/**
 * Identifies everything a stored cell depends on, as 64 hex digits: the file's metadata and tensor table, its size and
 * samples of its data (not a hash of 10 GB at each start), and the settings.
 *
 * @param files The file, or all parts of a split one, with their headers.
 */
export function fingerprint(
  files: ReadonlyArray<{ path: string; header: GgufHeader }>,
  settings: FingerprintSettings
): string {
  const hash = createHash('sha256')
  const sample = Buffer.allocUnsafe(sampleBytes)
  for (const { path, header } of files) {
    hash.update(`octavo 1\n${header.fileBytes}\n`).update(header.bytes)
    const descriptor = openSync(path, 'r')
    try {
      const room = Math.max(0, header.fileBytes - header.dataStart - sampleBytes)
      for (let index = 0; index < samples; index++) {
        const position = header.dataStart + Math.floor((room * index) / (samples - 1))
        const read = readSync(descriptor, sample, 0, sampleBytes, position)
        hash.update(sample.subarray(0, read))
      }
    } finally {
      closeSync(descriptor)
    }
  }
  const { cacheTypeK, cacheTypeV, layout, flashAttention, libraryVersion } = settings
  hash.update(JSON.stringify([cacheTypeK, cacheTypeV, layout, flashAttention, libraryVersion]))
  return hash.digest('hex')
}
