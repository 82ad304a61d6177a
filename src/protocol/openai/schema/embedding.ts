/** Bodies of `POST /v1/embeddings` (OpenAI's specification) and `POST /v1/rerank` (Jina's, as llama.cpp and vLLM have it). */
import { type Static, Type } from 'typebox'
import { nullable } from './chat.js'

const most = { minItems: 1, maxItems: 2048 }
const Tokens = Type.Array(Type.Integer(), most)

export const EmbeddingRequest = Type.Object({
  model: Type.Optional(Type.String()),
  /** One text or several, as text or as tokens. */
  input: Type.Union([Type.String(), Type.Array(Type.String(), most), Tokens, Type.Array(Tokens, most)]),
  encoding_format: Type.Optional(Type.Enum(['float', 'base64'])),
  dimensions: Type.Optional(Type.Integer({ minimum: 1 })),
  user: Type.Optional(Type.String())
})
export type EmbeddingRequest = Static<typeof EmbeddingRequest>

export const RerankRequest = Type.Object({
  model: Type.Optional(Type.String()),
  query: Type.String({ minLength: 1 }),
  documents: Type.Array(Type.Union([Type.String(), Type.Object({ text: Type.String() })]), most),
  /** Only the best so many; all by default. */
  top_n: nullable(Type.Integer({ minimum: 1 })),
  /** Give the documents' texts back beside the scores. */
  return_documents: nullable(Type.Boolean())
})
export type RerankRequest = Static<typeof RerankRequest>
