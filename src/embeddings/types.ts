/** What the HTTP side sees of the model that turns texts into vectors, or ranks documents. */

/** One text, or its tokens without the special ones around it. */
export type EmbeddingInput = string | number[]

/** Read from the file's header, so known before the model is loaded. */
export interface EmbeddingModelInfo {
  /** Absolute path of the GGUF file. */
  path: string
  architecture: string
  /** Length of a vector. */
  dimensions: number
  /** Most tokens of one input, the special ones included. */
  context: number
  vocabularySize: number
  /** Bytes of the file. */
  bytes: number
  /** `embedding`: vectors. `rerank`: relevance of a document for a query. */
  kind: 'embedding' | 'rerank'
}

export interface Embeddings {
  /** One vector per input, of length 1. */
  vectors: Float32Array[]
  /** All inputs together, special tokens included. */
  tokens: number
}

export interface Ranking {
  /** 0..1 for each document, in the order given. */
  scores: number[]
  tokens: number
}

export interface EmbeddingModel {
  /** The name in the API. */
  readonly id: string
  /** Unix seconds. */
  readonly created: number
  readonly state: 'unloaded' | 'loading' | 'ready' | 'failed'
  readonly info: EmbeddingModelInfo
  /**
   * Loads the model if need be.
   * @param signal the caller has gone: what is not computed yet will not be
   * @throws EmbeddingRefusal for an input that cannot be taken
   * @throws ModelUnavailableError when it cannot be loaded now
   * @throws EngineGoneError when the process ended meanwhile
   */
  embed(inputs: EmbeddingInput[], signal: AbortSignal): Promise<Embeddings>
  /** The same for the relevance of documents; for a model of the kind `rerank`. */
  rank(query: string, documents: string[], signal: AbortSignal): Promise<Ranking>
}

/** Why inputs were not taken. Values, not status codes. */
export type RefusalReason =
  | { kind: 'tooLong'; index: number; tokens: number; limit: number }
  /** A token that is not in the vocabulary, an input without tokens. */
  | { kind: 'invalid'; index: number; message: string }
  | { kind: 'full'; retryAfterMs: number }

export class EmbeddingRefusal extends Error {
  constructor(readonly reason: RefusalReason) {
    super(`refused: ${reason.kind}`)
    this.name = 'EmbeddingRefusal'
  }
}
