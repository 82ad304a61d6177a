/** The model through node-llama-cpp's own embedding and ranking contexts. Runs in the embedding process only. */
import type { LlamaModel, Token } from 'node-llama-cpp'
import type { EmbedderConfig } from './messages.js'
import { type EmbeddingInput, EmbeddingRefusal } from './types.js'
import { normalize } from './vector.js'

export interface Runtime {
  /** Tokens of the input with the special ones around it. @throws EmbeddingRefusal */
  measure(input: EmbeddingInput, index: number): number
  embed(input: EmbeddingInput): Promise<Float32Array>
  /** Tokens of query and document as they are computed together. @throws EmbeddingRefusal */
  measurePair(query: string, document: string, index: number): number
  /** 0..1 */
  rank(query: string, document: string): Promise<number>
  dispose(): Promise<void>
}

/** @throws Error when the model cannot be loaded */
export async function loadRuntime(config: EmbedderConfig): Promise<Runtime> {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp')
  const llama = await getLlama({
    build: 'never',
    gpu: config.gpu ? 'auto' : false,
    logLevel: LlamaLogLevel.error,
    maxThreads: config.threads
  })
  const model = await llama.loadModel({ modelPath: config.model })
  const dispose = () => llama.dispose()
  // node-llama-cpp refuses an input as long as its context: one cell more lets the whole trained length in.
  const size = { contextSize: config.context + 1, batchSize: config.context + 1, threads: config.threads }
  if (config.kind === 'rerank') {
    const context = await model.createRankingContext(size)
    const measurePair = (query: string, document: string, index: number) =>
      within(config, context.calculateInputLength(query, document), index)
    const rank = (query: string, document: string) => context.rank(query, document)
    return { measure: unsupported, embed: unsupported, measurePair, rank, dispose }
  }
  const context = await model.createEmbeddingContext(size)
  const tokens = (input: EmbeddingInput) => (typeof input === 'string' ? model.tokenize(input) : copy(input))
  return {
    measure(input, index) {
      if (typeof input !== 'string') checkTokens(input, config, index)
      return within(config, context.calculateInputLength(tokens(input)), index)
    },
    async embed(input) {
      const { vector } = await context.getEmbeddingFor(tokens(input))
      return normalize(vector)
    },
    measurePair: unsupported,
    rank: unsupported,
    dispose
  }
}

/** node-llama-cpp puts the special tokens into the array that it is given. */
function copy(tokens: number[]): Token[] {
  return [...tokens] as ReturnType<LlamaModel['tokenize']>
}

function checkTokens(tokens: number[], { vocabularySize }: EmbedderConfig, index: number): void {
  const wrong = tokens.find(token => token < 0 || token >= vocabularySize)
  if (wrong === undefined) return
  const message = `token ${wrong} is not in the vocabulary (0 to ${vocabularySize - 1}).`
  throw new EmbeddingRefusal({ kind: 'invalid', index, message })
}

function within({ context }: EmbedderConfig, tokens: number, index: number): number {
  if (tokens > context) throw new EmbeddingRefusal({ kind: 'tooLong', index, tokens, limit: context })
  return tokens
}

function unsupported(): never {
  throw new Error('the model does something else')
}
