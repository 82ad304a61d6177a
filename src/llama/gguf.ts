/**
 * Reads the header of a GGUF file: enough to refuse a file before the library sees it, to estimate memory, and to
 * fingerprint the model. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3).
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

export type GgufValue = number | bigint | boolean | string | GgufArray

/** Arrays are walked, and kept only when they are short numeric ones (per-layer settings); vocabularies are not. */
export interface GgufArray {
  length: number
  /** null when not kept. */
  values: number[] | null
}

export interface GgufTensor {
  name: string
  /** Elements per dimension, fastest first. */
  shape: number[]
  /** `ggml_type` number. */
  type: number
  /** Bytes from the start of the data section. */
  offset: number
}

export interface GgufHeader {
  version: number
  metadata: Map<string, GgufValue>
  tensors: GgufTensor[]
  /** Bytes of the file before the tensor data, padded. */
  dataStart: number
  /** The whole header, metadata and tensor table as they stand in the file. */
  bytes: Buffer
  fileBytes: number
}

/** Says in one line what is wrong with a file. */
export class GgufError extends Error {
  override readonly name = 'GgufError'
}

const keptArray = 4096
const longestHeader = 1024 * 1024 * 1024
const chunk = 4 * 1024 * 1024
const scalarBytes: Record<number, number> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8
}
const stringType = 8
const arrayType = 9

/** @throws GgufError for a file that is no GGUF or ends early; a system error when it cannot be read. */
export function readGguf(file: string): GgufHeader {
  const descriptor = openSync(file, 'r')
  try {
    const stat = fstatSync(descriptor)
    if (!stat.isFile()) throw new GgufError('is not a file')
    return new Reader(descriptor, stat.size).header()
  } finally {
    closeSync(descriptor)
  }
}

/** A number of the metadata; the first value of an array; undefined when absent or of another type. */
export function metadataNumber(header: GgufHeader, key: string): number | undefined {
  const value = header.metadata.get(key)
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'object') return value.values?.[0]
  return undefined
}

/** A setting that is one number for all layers, or one per layer. */
export function metadataPerLayer(header: GgufHeader, key: string, layers: number): number[] | undefined {
  const value = header.metadata.get(key)
  if (typeof value === 'object') return value.values ?? undefined
  const single = metadataNumber(header, key)
  return single === undefined ? undefined : new Array<number>(layers).fill(single)
}

export function metadataString(header: GgufHeader, key: string): string | undefined {
  const value = header.metadata.get(key)
  return typeof value === 'string' ? value : undefined
}

class Reader {
  #buffer = Buffer.alloc(0)
  #at = 0
  readonly #descriptor: number
  readonly #size: number

  constructor(descriptor: number, size: number) {
    this.#descriptor = descriptor
    this.#size = size
  }

  header(): GgufHeader {
    if (this.#size < 24) throw new GgufError(this.#size === 0 ? 'is empty' : 'is not a GGUF file')
    const magic = this.#take(4).toString('latin1')
    if (magic !== 'GGUF') throw new GgufError('is not a GGUF file')
    const version = this.#u32()
    if (version !== 2 && version !== 3) throw new GgufError(`has GGUF version ${version}, not 2 or 3`)
    const tensorCount = this.#count('tensors', 24)
    const entryCount = this.#count('metadata entries', 13)
    const metadata = new Map<string, GgufValue>()
    for (let entry = 0; entry < entryCount; entry++) {
      const key = this.#string()
      metadata.set(key, this.#value(this.#u32()))
    }
    const tensors: GgufTensor[] = []
    for (let index = 0; index < tensorCount; index++) tensors.push(this.#tensor())
    const alignment = Number(metadata.get('general.alignment') ?? 32)
    const end = this.#at
    const dataStart = alignment > 0 ? Math.ceil(end / alignment) * alignment : end
    const bytes = this.#buffer.subarray(0, end)
    return { version, metadata, tensors, dataStart, bytes, fileBytes: this.#size }
  }

  #tensor(): GgufTensor {
    const name = this.#string()
    const dimensions = this.#u32()
    if (dimensions > 4) throw new GgufError('is damaged (a tensor with too many dimensions)')
    const shape = Array.from({ length: dimensions }, () => this.#u64())
    return { name, shape, type: this.#u32(), offset: this.#u64() }
  }

  #value(type: number): GgufValue {
    if (type === stringType) return this.#string()
    if (type === arrayType) return this.#array()
    return this.#scalar(type)
  }

  #array(): GgufArray {
    const type = this.#u32()
    const length = this.#u64()
    if (type === stringType) {
      this.#bound(length, 8)
      for (let index = 0; index < length; index++) this.#skip(this.#u64())
      return { length, values: null }
    }
    const bytes = scalarBytes[type]
    if (bytes === undefined) throw new GgufError('is damaged (an array of unknown type)')
    this.#bound(length, bytes)
    if (length > keptArray) {
      this.#skip(length * bytes)
      return { length, values: null }
    }
    return { length, values: Array.from({ length }, () => Number(this.#scalar(type))) }
  }

  #scalar(type: number): number | bigint | boolean {
    const bytes = scalarBytes[type]
    if (bytes === undefined) throw new GgufError('is damaged (a metadata value of unknown type)')
    const at = this.#take(bytes)
    switch (type) {
      case 0:
        return at.readUInt8()
      case 1:
        return at.readInt8()
      case 2:
        return at.readUInt16LE()
      case 3:
        return at.readInt16LE()
      case 4:
        return at.readUInt32LE()
      case 5:
        return at.readInt32LE()
      case 6:
        return at.readFloatLE()
      case 7:
        return at.readUInt8() !== 0
      case 10:
        return at.readBigUInt64LE()
      case 11:
        return at.readBigInt64LE()
      default:
        return at.readDoubleLE()
    }
  }

  #string(): string {
    return this.#take(this.#u64()).toString('utf8')
  }

  #u32(): number {
    return this.#take(4).readUInt32LE()
  }

  /** Sizes and counts: more than 2^53 is nonsense, and shows as a file that ends early. */
  #u64(): number {
    return Number(this.#take(8).readBigUInt64LE())
  }

  #count(what: string, leastBytes: number): number {
    const count = this.#u64()
    if (count * leastBytes > this.#size) throw new GgufError(`is damaged (${count} ${what})`)
    return count
  }

  #bound(length: number, leastBytes: number): void {
    if (this.#at + length * leastBytes > this.#size) throw new GgufError('is damaged or cut short')
  }

  #skip(length: number): void {
    this.#fill(length)
    this.#at += length
  }

  #take(length: number): Buffer {
    this.#fill(length)
    const at = this.#at
    this.#at = at + length
    return this.#buffer.subarray(at, at + length)
  }

  /** Reads on until `length` bytes from here are in the buffer. */
  #fill(length: number): void {
    const end = this.#at + length
    if (end <= this.#buffer.length) return
    if (!(end <= this.#size)) throw new GgufError('is damaged or cut short')
    if (end > longestHeader) throw new GgufError('is damaged (its header is over 1 GiB)')
    const target = Math.min(this.#size, Math.max(end, this.#buffer.length + chunk, this.#buffer.length * 2))
    const grown = Buffer.allocUnsafe(target)
    this.#buffer.copy(grown)
    let filled = this.#buffer.length
    while (filled < target) {
      const read = readSync(this.#descriptor, grown, filled, target - filled, filled)
      if (read === 0) throw new GgufError('ended while it was read')
      filled += read
    }
    this.#buffer = grown
  }
}
