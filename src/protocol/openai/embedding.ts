/** Embedding and rerank requests and answers. Pure. */
import type { EmbeddingInput, Embeddings, Ranking } from '../../embeddings/types.js'
import { toBase64 } from '../../embeddings/vector.js'
import { invalidValue, unsupportedValue } from '../errors.js'
import type { EmbeddingRequest, RerankRequest } from './schema/embedding.js'

/** @throws ApiError for an empty text */
export function toInputs({ input }: Pick<EmbeddingRequest, 'input'>): EmbeddingInput[] {
  const inputs: EmbeddingInput[] =
    typeof input === 'string'
      ? [input]
      : typeof input[0] === 'number'
        ? [input as number[]]
        : (input as EmbeddingInput[])
  const empty = inputs.indexOf('')
  if (empty === -1) return inputs
  throw invalidValue(typeof input === 'string' ? 'input' : `input.${empty}`, 'it cannot be an empty string.')
}

/** @throws ApiError when vectors of another length than the model's are asked for */
export function checkDimensions({ dimensions }: Pick<EmbeddingRequest, 'dimensions'>, own: number): void {
  if (dimensions === undefined || dimensions === own) return
  throw unsupportedValue(
    'dimensions',
    `this model's vectors have ${own} dimensions and cannot be shortened, got ${dimensions}.`
  )
}

export interface EmbeddingAnswer {
  object: 'list'
  model: string
  data: Array<{ object: 'embedding'; index: number; embedding: number[] | string }>
  usage: { prompt_tokens: number; total_tokens: number }
}

export function toEmbeddingAnswer(
  { vectors, tokens }: Embeddings,
  model: string,
  format: EmbeddingRequest['encoding_format']
): EmbeddingAnswer {
  return {
    object: 'list',
    model,
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: format === 'base64' ? toBase64(vector) : Array.from(vector)
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens }
  }
}

export function documentTexts({ documents }: Pick<RerankRequest, 'documents'>): string[] {
  return documents.map(document => (typeof document === 'string' ? document : document.text))
}

export interface RerankAnswer {
  object: 'list'
  model: string
  /** The most relevant first. */
  results: Array<{ index: number; relevance_score: number; document?: { text: string } }>
  usage: { prompt_tokens: number; total_tokens: number }
}

export function toRerankAnswer(
  { scores, tokens }: Ranking,
  model: string,
  body: Pick<RerankRequest, 'documents' | 'top_n' | 'return_documents'>
): RerankAnswer {
  const texts = documentTexts(body)
  const results = scores
    .map((relevance_score, index) => ({
      index,
      relevance_score,
      ...(body.return_documents === true ? { document: { text: texts[index] ?? '' } } : {})
    }))
    .sort((a, b) => b.relevance_score - a.relevance_score)
    .slice(0, body.top_n ?? scores.length)
  return { object: 'list', model, results, usage: { prompt_tokens: tokens, total_tokens: tokens } }
}
