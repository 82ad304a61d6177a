/** The vocabulary of a byte-level BPE model, read from its file without loading it. */
import path from 'node:path'
import { readGgufFileInfo } from 'node-llama-cpp'
import type { Vocabulary } from '../../../src/engine/constraint/vocabulary.js'
import { packageRoot } from '../../../src/root.js'

export const smallModel = path.join(packageRoot(), 'models/MiniMind2-Small-26M-q8_0.gguf')
const CONTROL = 3
const USER_DEFINED = 4

export async function readVocabulary(file = smallModel): Promise<Vocabulary> {
  const { metadata } = await readGgufFileInfo(file, { logWarnings: false })
  const { tokens, token_type: types, eos_token_id: eos } = metadata.tokenizer.ggml
  const bytes = byteLetters()
  const encoder = new TextEncoder()
  const special = tokens.map((token, i) =>
    types[i] === CONTROL || types[i] === USER_DEFINED
      ? encoder.encode(token)
      : Uint8Array.from([...token].map(letter => bytes.get(letter)!))
  )
  const none = new Uint8Array(0)
  return {
    size: tokens.length,
    piece: (token, withSpecial) => (types[token] === CONTROL && !withSpecial ? none : special[token]!),
    stopTokens: [eos!]
  }
}

/** GPT-2 writes bytes as letters: printable ones as themselves, the others as U+0100 and up, in order. */
function byteLetters(): Map<string, number> {
  const letters = new Map<string, number>()
  let next = 256
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    letters.set(String.fromCodePoint(printable ? byte : next++), byte)
  }
  return letters
}

/** Greedy longest-match tokens of a text: some spelling that a model could have chosen. */
export function spell(vocabulary: Vocabulary, text: string): number[] {
  const known = new Map<string, number>()
  for (let token = 0; token < vocabulary.size; token++) {
    const piece = Buffer.from(vocabulary.piece(token)).toString('latin1')
    if (piece !== '' && !known.has(piece)) known.set(piece, token)
  }
  const bytes = Buffer.from(text).toString('latin1')
  const tokens: number[] = []
  for (let at = 0; at < bytes.length; ) {
    let length = Math.min(24, bytes.length - at)
    while (length > 1 && !known.has(bytes.slice(at, at + length))) length--
    tokens.push(known.get(bytes.slice(at, at + length))!)
    at += length
  }
  return tokens
}
