import { createHash } from 'node:crypto'
import fs from 'node:fs'
import type { Segment } from '../arena.js'
import { samePiece } from '../ram.js'
import {
  DamageError,
  DIGEST_BYTES,
  decodeHead,
  encodeHead,
  FIXED_BYTES,
  type Header,
  headLength
} from './format.js'

/** The part of node:fs that piece files need; tests put failing ones in its place. */
export type FileSystem = Pick<
  typeof fs,
  | 'openSync'
  | 'closeSync'
  | 'readSync'
  | 'writeSync'
  | 'fstatSync'
  | 'renameSync'
  | 'unlinkSync'
  | 'futimesSync'
>

/** A symbolic link under a piece's name is not followed. 0 on Windows, which has no such flag. */
const NO_FOLLOW = fs.constants.O_NOFOLLOW ?? 0

/** Header and last use, from the beginning of the file alone. */
export interface Scanned {
  header: Header
  fileBytes: number
  /** Modification time: a file is written once, so it can tell when it was last used. */
  usedMs: number
}

/**
 * Reads the header of a piece file.
 * @param fingerprint digest of the model it must belong to; null: any.
 * @throws DamageError, or the system's error.
 */
export function scanFile(
  path: string,
  fingerprint: Buffer | null,
  scratch: Buffer,
  io: FileSystem = fs
): Scanned {
  const fd = io.openSync(path, fs.constants.O_RDONLY | NO_FOLLOW)
  try {
    const stat = io.fstatSync(fd)
    if (!stat.isFile()) throw new DamageError('malformed', 'not a regular file')
    const read = io.readSync(fd, scratch, 0, scratch.length, 0)
    let head = scratch.subarray(0, read)
    const length = headLength(head)
    if (length > scratch.length) {
      head = Buffer.alloc(length)
      readFully(io, fd, head, 0)
    }
    return { header: decodeHead(head, fingerprint, stat.size), fileBytes: stat.size, usedMs: stat.mtimeMs }
  } finally {
    io.closeSync(fd)
  }
}

/**
 * Reads a whole file into shared memory and checks every byte of it.
 * What the segments hold is defined only when this returns.
 * @throws DamageError (`collision` is told apart by the return value), or the system's error.
 */
export function readFile(
  path: string,
  wanted: { meta: Parameters<typeof samePiece>[1]; segments: Segment[]; usedMs: number },
  fingerprint: Buffer,
  io: FileSystem = fs
): 'ok' | 'collision' {
  const fd = io.openSync(path, fs.constants.O_RDONLY | NO_FOLLOW)
  try {
    const { head, header } = readHead(io, fd, fingerprint)
    if (!samePiece(header, wanted.meta)) return 'collision'
    const room = wanted.segments.reduce((sum, segment) => sum + segment.length, 0)
    if (room !== header.blobBytes) throw new DamageError('malformed', 'the blob has another size')

    const digest = createHash('sha256').update(head)
    let at = head.length
    for (const segment of wanted.segments) {
      const bytes = segmentBytes(segment)
      readFully(io, fd, bytes, at)
      digest.update(bytes)
      at += bytes.length
    }
    const stored = Buffer.alloc(DIGEST_BYTES)
    readFully(io, fd, stored, at)
    if (!digest.digest().equals(stored)) throw new DamageError('checksum', 'the blob is not what was written')
    markUsed(io, fd, wanted.usedMs)
    return 'ok'
  } finally {
    io.closeSync(fd)
  }
}

/** The checked header of an open file, and the bytes it was read from. @throws DamageError, or the system's error. */
function readHead(io: FileSystem, fd: number, fingerprint: Buffer | null): { head: Buffer; header: Header } {
  const { size } = io.fstatSync(fd)
  const fixed = Buffer.alloc(FIXED_BYTES)
  readFully(io, fd, fixed, 0)
  const head = Buffer.alloc(headLength(fixed))
  readFully(io, fd, head, 0)
  return { head, header: decodeHead(head, fingerprint, size) }
}

/** Checks a whole file without keeping its blob. @throws DamageError, or the system's error. */
export function verifyFile(path: string, fingerprint: Buffer | null, io: FileSystem = fs): Header {
  const fd = io.openSync(path, fs.constants.O_RDONLY | NO_FOLLOW)
  try {
    const { head, header } = readHead(io, fd, fingerprint)
    const digest = createHash('sha256').update(head)
    const window = Buffer.alloc(Math.min(1024 * 1024, Math.max(1, header.blobBytes)))
    const end = head.length + header.blobBytes
    for (let at = head.length; at < end; at += window.length) {
      const part = window.subarray(0, Math.min(window.length, end - at))
      readFully(io, fd, part, at)
      digest.update(part)
    }
    const stored = Buffer.alloc(DIGEST_BYTES)
    readFully(io, fd, stored, end)
    if (!digest.digest().equals(stored)) throw new DamageError('checksum', 'the blob is not what was written')
    return header
  } finally {
    io.closeSync(fd)
  }
}

/**
 * Writes a piece under `temporary`, then gives it its name. Not synced to the medium: after a power cut a file may be
 * short or garbled, which its checksum tells.
 * @throws the system's error; nothing is left under the temporary name then, as far as the system lets us.
 */
export function writeFile(
  paths: { temporary: string; final: string },
  header: Header,
  segments: Segment[],
  fingerprint: Buffer,
  io: FileSystem = fs
): void {
  const fd = io.openSync(paths.temporary, 'wx', 0o600)
  try {
    try {
      const head = encodeHead(header, fingerprint)
      const digest = createHash('sha256').update(head)
      writeFully(io, fd, head)
      for (const segment of segments) {
        const bytes = segmentBytes(segment)
        digest.update(bytes)
        writeFully(io, fd, bytes)
      }
      writeFully(io, fd, digest.digest())
    } finally {
      io.closeSync(fd)
    }
    io.renameSync(paths.temporary, paths.final)
  } catch (error) {
    try {
      io.unlinkSync(paths.temporary)
    } catch {
      // What went wrong first is what counts; a file left behind is cleaned up at the next start.
    }
    throw error
  }
}

function segmentBytes(segment: Segment): Uint8Array {
  return new Uint8Array(segment.buffer, segment.offset, segment.length)
}

function markUsed(io: FileSystem, fd: number, usedMs: number): void {
  try {
    io.futimesSync(fd, usedMs / 1000, usedMs / 1000)
  } catch {
    // A read-only folder can still be read from.
  }
}

function readFully(io: FileSystem, fd: number, into: Uint8Array, position: number): void {
  for (let at = 0; at < into.length; ) {
    const read = io.readSync(fd, into, at, into.length - at, position + at)
    if (read === 0) throw new DamageError('truncated', `ends at byte ${position + at}`)
    at += read
  }
}

function writeFully(io: FileSystem, fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += io.writeSync(fd, bytes, at, bytes.length - at)
}
