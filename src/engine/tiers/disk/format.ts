import { createHash } from 'node:crypto'
import { HASH_LENGTH, type PieceMeta, pieceHash, tokenBytes } from '../piece.js'

/**
 * One piece in one file, little-endian:
 *
 *     0    magic "OCTAVOKV"
 *     8    u32 format version
 *     12   u32 flags: 1 = anchor
 *     16   u32 start position
 *     20   u32 number of tokens n
 *     24   u64 length of the blob
 *     32   u64 made at, milliseconds since 1970
 *     40   20 bytes root (digest of the salt), 60 parent, 80 hash
 *     100  32 bytes SHA-256 of the model fingerprint
 *     132  i32 token ids, n of them
 *          32 bytes SHA-256 of all the above: an index can be built from the beginning of a file alone
 *          the blob
 *          32 bytes SHA-256 of all the above
 */
export const FORMAT_VERSION = 1
export const FIXED_BYTES = 132
export const DIGEST_BYTES = 32
/** More tokens than any grid has: a larger number in a header is damage. */
export const MAX_TOKENS = 65536

const MAGIC = Buffer.from('OCTAVOKV', 'latin1')
const ANCHOR = 1

/** Why a file is not used. All of these files are removed. */
export type Damage = 'foreign' | 'version' | 'truncated' | 'checksum' | 'malformed'

export interface Header extends PieceMeta {
  anchor: boolean
  blobBytes: number
  createdMs: number
}

export class DamageError extends Error {
  constructor(
    readonly kind: Damage,
    message: string
  ) {
    super(message)
    this.name = 'DamageError'
  }
}

/** SHA-256 of a fingerprint, the form in which a header carries it. */
export function fingerprintDigest(fingerprint: string): Buffer {
  return createHash('sha256').update(fingerprint).digest()
}

/** Bytes before the blob. */
export function headBytes(tokens: number): number {
  return FIXED_BYTES + tokens * 4 + DIGEST_BYTES
}

/** Size of the whole file. */
export function fileBytes(tokens: number, blobBytes: number): number {
  return headBytes(tokens) + blobBytes + DIGEST_BYTES
}

/** Everything before the blob. */
export function encodeHead(header: Header, fingerprint: Buffer): Buffer {
  const head = Buffer.alloc(headBytes(header.tokens.length))
  MAGIC.copy(head, 0)
  head.writeUInt32LE(FORMAT_VERSION, 8)
  head.writeUInt32LE(header.anchor ? ANCHOR : 0, 12)
  head.writeUInt32LE(header.start, 16)
  head.writeUInt32LE(header.tokens.length, 20)
  head.writeBigUInt64LE(BigInt(header.blobBytes), 24)
  head.writeBigUInt64LE(BigInt(Math.trunc(header.createdMs)), 32)
  head.write(header.root, 40, 'hex')
  head.write(header.parent, 60, 'hex')
  head.write(header.hash, 80, 'hex')
  fingerprint.copy(head, 100)
  head.set(tokenBytes(header.tokens), FIXED_BYTES)
  const end = head.length - DIGEST_BYTES
  createHash('sha256').update(head.subarray(0, end)).digest().copy(head, end)
  return head
}

/**
 * How many bytes the part before the blob has, from the first FIXED_BYTES of a file.
 * @throws DamageError when these are not the beginning of such a file.
 */
export function headLength(fixed: Buffer): number {
  if (fixed.length < FIXED_BYTES) throw new DamageError('truncated', 'shorter than a header')
  if (!fixed.subarray(0, 8).equals(MAGIC)) throw new DamageError('malformed', 'not a file of this cache')
  const version = fixed.readUInt32LE(8)
  if (version !== FORMAT_VERSION) throw new DamageError('version', `format version ${version}`)
  const tokens = fixed.readUInt32LE(20)
  if (tokens < 1 || tokens > MAX_TOKENS) throw new DamageError('malformed', `${tokens} tokens`)
  return headBytes(tokens)
}

/**
 * Reads and checks everything before the blob.
 * @param fingerprint digest of the model it must belong to; null: any.
 * @param size of the whole file.
 * @throws DamageError
 */
export function decodeHead(head: Buffer, fingerprint: Buffer | null, size: number): Header {
  const length = headLength(head)
  if (head.length < length) throw new DamageError('truncated', 'the header is cut off')
  const end = length - DIGEST_BYTES
  const digest = createHash('sha256').update(head.subarray(0, end)).digest()
  if (!digest.equals(head.subarray(end, length))) throw new DamageError('checksum', 'header checksum')
  if (fingerprint && !head.subarray(100, FIXED_BYTES).equals(fingerprint)) {
    throw new DamageError('foreign', 'belongs to another model')
  }
  const count = head.readUInt32LE(20)
  const tokens = new Int32Array(count)
  tokenBytes(tokens).set(head.subarray(FIXED_BYTES, end))
  const header: Header = {
    root: hex(head, 40),
    parent: hex(head, 60),
    hash: hex(head, 80),
    start: head.readUInt32LE(16),
    tokens,
    anchor: (head.readUInt32LE(12) & ANCHOR) !== 0,
    blobBytes: Number(head.readBigUInt64LE(24)),
    createdMs: Number(head.readBigUInt64LE(32))
  }
  if (pieceHash(header.parent, tokens) !== header.hash) {
    throw new DamageError('malformed', 'the chain hash does not fit the tokens')
  }
  const expected = fileBytes(count, header.blobBytes)
  if (size < expected) throw new DamageError('truncated', `${size} of ${expected} bytes`)
  if (size > expected) throw new DamageError('malformed', `${size} bytes instead of ${expected}`)
  return header
}

function hex(head: Buffer, at: number): string {
  return head.toString('hex', at, at + HASH_LENGTH / 2)
}
