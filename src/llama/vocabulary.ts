/** A model's vocabulary without its weights: text to tokens and back, and what the file's header says. */
import type { ModelInfo, Tokenization } from '../engine/backend.js'
import { metadataNumber } from './gguf.js'
import { loadLibrary } from './library.js'
import { readModelFiles } from './model-file.js'
import { assertVocabulary, describeFile, inTurn, openModel } from './open-model.js'
import { Tokenizer } from './tokenizer.js'

/** As `ModelInfo`; what only weights and a device tell is 0 or ''. */
export type VocabularyInfo = ModelInfo

/** The part of a Backend that needs no weights. */
export interface LoadedVocabulary {
  readonly info: VocabularyInfo
  tokenize(text: string, options: Tokenization): Promise<Int32Array>
  piece(token: number, special?: boolean): Uint8Array
  isEndOfGeneration(token: number): boolean
  /** Nothing may be called afterwards, nor be under way. */
  dispose(): void
}

/**
 * Milliseconds for a small vocabulary, some hundred for one of 250,000 tokens.
 * @throws BackendError
 */
export function loadVocabulary(file: string): Promise<LoadedVocabulary> {
  return inTurn(() => loadNext(file))
}

async function loadNext(file: string): Promise<LoadedVocabulary> {
  const { header } = readModelFiles(file)[0]!
  const library = loadLibrary({ log: 'silent', wantsGpu: false })
  const f = library.functions
  const params = { ...f.llama_model_default_params(), vocab_only: true, n_gpu_layers: 0 }
  // Nothing is computed.
  const model = await library.log.capture(lines => openModel(library, file, params, true, lines))
  const vocab = f.llama_model_get_vocab(model)
  try {
    assertVocabulary(f, vocab, file)
  } catch (error) {
    f.llama_model_free(model)
    throw error
  }
  const described = describeFile(library, model, header, file)
  const tokenizer = new Tokenizer(f, vocab, described.vocabularySize)
  const inHeader = (key: string) => metadataNumber(header, `${described.architecture}.${key}`) ?? 0
  return {
    info: {
      ...described,
      description: '',
      parameters: 0,
      bytes: 0,
      trainingContext: inHeader('context_length'),
      embeddingLength: inHeader('embedding_length'),
      device: '',
      fingerprint: ''
    },
    tokenize: (text, options) => tokenizer.tokenize(text, options),
    piece: (token, special) => tokenizer.piece(token, special),
    isEndOfGeneration: token => tokenizer.isEndOfGeneration(token),
    dispose: () => f.llama_model_free(model)
  }
}
