/** What the engine's thread and a constraint thread say to each other, and the memory they share. */
import type { ConstraintInput } from './constraint.js'

/** Of every token, as one run of shared memory: token t is bytes[offsets[t] .. offsets[t + 1]). */
export interface SharedVocabulary {
  size: number
  bytes: Uint8Array
  offsets: Uint32Array
  /** The same with control tokens written out, for tool syntaxes made of them: token id and its bytes. */
  control: Array<{ token: number; text: string }>
  stopTokens: number[]
}

export interface WorkerOptions {
  vocabulary: SharedVocabulary
  memoryLimit: number
}

/** A grammar ready for the WASM engine. */
export interface PreparedGrammar {
  ebnf: string
  /** Control tokens that count as their text in it. */
  control: string[]
  /** Schema keywords that only the validation of the finished text holds. */
  unenforced: string[]
}

export type ToWorker =
  | { type: 'compile'; grammar: number; constraint: ConstraintInput }
  /** Starts a matcher; `prepared` when the thread does not know the grammar, `tokens` to catch up. */
  | {
      type: 'open'
      matcher: number
      grammar: number
      prepared: PreparedGrammar | null
      tokens: number[]
      state: SharedArrayBuffer
    }
  /** matchers[i] has accepted tokens[i]. */
  | { type: 'accept'; matchers: number[]; tokens: number[] }
  | { type: 'close'; matcher: number }
  | { type: 'forget'; grammar: number }

export type FromWorker =
  | { type: 'ready' }
  | { type: 'compiled'; grammar: number; prepared: PreparedGrammar }
  | { type: 'refused'; grammar: number; param: string; message: string }
  /** The WASM instance is gone; the thread ends. */
  | { type: 'broken'; grammar: number | null; matcher: number | null; message: string }

/** Words of a matcher's shared state before the mask. */
export const HEADER = 2
/** Word 0: how many tokens had been accepted when the mask was made, plus 1; 0: none yet. Written last, with a notify. */
export const VERSION = 0
/** Word 1: one of the following. */
export const STATUS = 1
export const MASKED = 0
export const ALL_ALLOWED = 1
export const NOTHING_ALLOWED = 2

export function createState(vocabularySize: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer((HEADER + Math.ceil(vocabularySize / 32)) * 4))
}
