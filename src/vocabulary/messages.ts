/** What the server process and the vocabulary process say to each other: plain JSON values over a `fork` channel. */
import type { EngineCalls, GenerationRequest, Verdict } from '../engine/messages.js'
import type { VocabularyInfo } from '../llama/vocabulary.js'

/** Said without an engine: what no queue and no pool has a part in. */
export type StaticRefusal = Extract<Verdict, { kind: 'tooLong' | 'invalid' }>

/** The part of a request that a vocabulary can judge. */
export type Examined = Pick<GenerationRequest, 'prompt' | 'constraint'> & {
  sampling: Pick<GenerationRequest['sampling'], 'logitBias'>
}

/** Params and results of the calls, all about one model file. */
export interface VocabularyCalls extends Pick<EngineCalls, 'tokenize' | 'detokenize' | 'pieces'> {
  /** Loads the vocabulary, as every other call does that comes first. */
  open: { params: null; result: VocabularyInfo }
  /**
   * What the engine will say against a request. `limit`: tokens of the longest prompt plus one.
   * null: nothing that can be told now.
   */
  examine: { params: { request: Examined; limit: number }; result: StaticRefusal | null }
}
export type VocabularyMethod = keyof VocabularyCalls

export interface ToVocabulary {
  call: number
  /** Path of the GGUF file; of the first one when the model is split into several. */
  file: string
  method: VocabularyMethod
  params: unknown
}

export type FromVocabulary =
  | { call: number; ok: true; result: unknown }
  | { call: number; ok: false; message: string }
