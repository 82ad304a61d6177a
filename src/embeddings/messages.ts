/** What the server process and the embedding process say to each other (`serialization: 'advanced'`: vectors are binary). */
import type { EmbeddingInput, RefusalReason } from './types.js'

/** Found in the variable `configVariable` of the process, as JSON. */
export interface EmbedderConfig {
  model: string
  kind: 'embedding' | 'rerank'
  /** Most tokens of one input. */
  context: number
  vocabularySize: number
  threads: number
  /** Use a GPU where there is one. */
  gpu: boolean
}

export const configVariable = 'OCTAVO_EMBEDDER_CONFIG'

export type Work =
  | { kind: 'embed'; inputs: EmbeddingInput[] }
  | { kind: 'rank'; query: string; documents: string[] }

export type ToEmbedder =
  | { type: 'work'; id: number; work: Work }
  | { type: 'cancel'; id: number }
  | { type: 'shutdown' }

export type FromEmbedder =
  | { type: 'ready' }
  | { type: 'loadFailed'; message: string }
  /** One vector per input, or one score per document in `scores`. */
  | { type: 'done'; id: number; vectors: Float32Array[]; scores: number[]; tokens: number }
  | { type: 'refused'; id: number; reason: RefusalReason }
  | { type: 'failed'; id: number; message: string }
