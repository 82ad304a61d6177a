/** The vocabulary as constraint threads need it. */
import type { SharedVocabulary } from './protocol.js'

export interface Vocabulary {
  size: number
  /** Bytes of a token; for control tokens an empty array unless `special`. `Backend.piece` fits. */
  piece(token: number, special?: boolean): Uint8Array
  /** Tokens that end an answer. */
  stopTokens: number[]
}

const SLICE = 4096

/** Copies the pieces into shared memory, a slice per turn of the event loop (150k calls take a while). */
export async function shareVocabulary({ size, piece, stopTokens }: Vocabulary): Promise<SharedVocabulary> {
  const pieces: Uint8Array[] = []
  const control: SharedVocabulary['control'] = []
  const decoder = new TextDecoder()
  for (let token = 0; token < size; token++) {
    if (token % SLICE === SLICE - 1) await new Promise(setImmediate)
    const bytes = piece(token)
    pieces.push(bytes)
    if (bytes.length === 0 && !stopTokens.includes(token)) {
      const text = decoder.decode(piece(token, true))
      if (text !== '') control.push({ token, text })
    }
  }
  const offsets = new Uint32Array(new SharedArrayBuffer((size + 1) * 4))
  for (const [token, bytes] of pieces.entries()) offsets[token + 1] = offsets[token]! + bytes.length
  const bytes = new Uint8Array(new SharedArrayBuffer(offsets[size]!))
  for (const [token, piece] of pieces.entries()) bytes.set(piece, offsets[token])
  return { size, bytes, offsets, control, stopTokens }
}
