import path from 'node:path'
import { metadataNumber, metadataString, readGguf } from '../llama/gguf.js'
import type { EmbeddingModelInfo } from './types.js'

/** llama.cpp's `enum llama_pooling_type`, as `<architecture>.pooling_type` holds it. */
const rankPooling = 4

/** Inputs longer than that are cut by nobody and helped by nothing: memory for attention grows with the square. */
const longestInput = 8192

/**
 * What an embedding model's file says about it.
 * @throws GgufError, or a system error, when it cannot be read; Error when it is no embedding model
 */
export function readEmbeddingInfo(file: string): EmbeddingModelInfo {
  const header = readGguf(file)
  const architecture = metadataString(header, 'general.architecture') ?? 'unknown'
  const pooling = metadataNumber(header, `${architecture}.pooling_type`)
  const dimensions = metadataNumber(header, `${architecture}.embedding_length`)
  if (pooling === undefined || pooling === 0 || dimensions === undefined) {
    throw new Error(
      `${path.basename(file)} is not an embedding model (${architecture} without a pooling type)`
    )
  }
  const vocabulary = header.metadata.get('tokenizer.ggml.tokens')
  return {
    path: file,
    architecture,
    dimensions,
    context: Math.min(longestInput, metadataNumber(header, `${architecture}.context_length`) ?? 512),
    vocabularySize: typeof vocabulary === 'object' ? vocabulary.length : 0,
    bytes: header.fileBytes,
    kind: pooling === rankPooling ? 'rerank' : 'embedding'
  }
}
