import { accessSync, constants, statSync } from 'node:fs'
import path from 'node:path'
import { BackendError } from '../engine/backend.js'
import { GgufError, type GgufHeader, metadataNumber, metadataString, readGguf } from './gguf.js'

export interface ModelFile {
  path: string
  header: GgufHeader
}

/**
 * The headers of a model's file, or of all files of a split one, checked for what can be seen there.
 * @throws BackendError `load_failed` or `vocabulary_only`.
 */
export function readModelFiles(file: string): ModelFile[] {
  const first = { path: file, header: readHeader(file) }
  const parts = metadataNumber(first.header, 'split.count') ?? 1
  const files = [first]
  for (const part of splitPaths(file, parts)) files.push({ path: part, header: readHeader(part) })
  const name = path.basename(file)
  if (!metadataString(first.header, 'general.architecture')) {
    throw new BackendError('load_failed', `${name} does not say which architecture it is`)
  }
  if (files.every(({ header }) => header.tensors.length === 0)) {
    throw new BackendError('vocabulary_only', `${name} holds a vocabulary only, no weights`)
  }
  for (const { path: part, header } of files) refuseCutShort(part, header)
  return files
}

function readHeader(file: string): GgufHeader {
  try {
    accessSync(file, constants.R_OK)
    return readGguf(file)
  } catch (error) {
    if (error instanceof GgufError) throw new BackendError('load_failed', `${file} ${error.message}`)
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new BackendError('load_failed', `there is no file ${file}`)
    }
    if (code === 'EACCES') throw new BackendError('load_failed', `${file} may not be read`)
    throw new BackendError('load_failed', `${file} cannot be read: ${message}`)
  }
}

/** A download that stopped has all of the header and not all of the data. */
function refuseCutShort(file: string, header: GgufHeader): void {
  const last = Math.max(0, ...header.tensors.map(tensor => tensor.offset))
  if (header.tensors.length > 0 && header.dataStart + last >= header.fileBytes) {
    throw new BackendError('load_failed', `${file} is cut short (${statSync(file).size} bytes)`)
  }
}

/** The other parts of `name-00001-of-0000N.gguf`. */
function splitPaths(file: string, parts: number): string[] {
  const match = /^(.*)-00001-of-(\d{5})\.gguf$/.exec(file)
  if (parts <= 1 || !match) return []
  return Array.from(
    { length: Number(match[2]) - 1 },
    (_, index) => `${match[1]}-${String(index + 2).padStart(5, '0')}-of-${match[2]}.gguf`
  )
}
