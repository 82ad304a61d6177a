/** A model's vocabulary without its weights: text to tokens and back, and what the file's header says. */
import path from 'node:path'
import { BackendError, type ModelInfo, type Tokenization } from '../engine/backend.js'
import koffi from './ffi.js'
import { metadataNumber, metadataString } from './gguf.js'
import type { Pointer } from './layout.js'
import { type Functions, type Library, loadLibrary } from './library.js'
import { causeIn } from './log.js'
import { readModelFiles } from './model-file.js'
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

/** Loads share the library's log: one at a time. */
let lastLoad: Promise<unknown> = Promise.resolve()

/**
 * Milliseconds for a small vocabulary, some hundred for one of 250,000 tokens.
 * @throws BackendError
 */
export function loadVocabulary(file: string): Promise<LoadedVocabulary> {
  const load = lastLoad.catch(() => {}).then(() => loadNext(file))
  lastLoad = load
  return load
}

async function loadNext(file: string): Promise<LoadedVocabulary> {
  const { header } = readModelFiles(file)[0]!
  const library = loadLibrary({ log: 'silent', wantsGpu: false })
  const f = library.functions
  const model = await loadModel(library, file)
  const vocab = f.llama_model_get_vocab(model)
  const size = f.llama_vocab_n_tokens(vocab)
  // Tokenizing without a vocabulary makes the library abort.
  if (f.llama_vocab_type(vocab) === 0 || size <= 0) {
    f.llama_model_free(model)
    throw new BackendError('load_failed', `${path.basename(file)} has no vocabulary`)
  }
  const tokenizer = new Tokenizer(f, vocab, size)
  const architecture = metadataString(header, 'general.architecture') ?? ''
  return {
    info: {
      path: path.resolve(file),
      name: metadataString(header, 'general.name') || path.basename(file),
      description: '',
      architecture,
      parameters: 0,
      bytes: 0,
      trainingContext: metadataNumber(header, `${architecture}.context_length`) ?? 0,
      embeddingLength: metadataNumber(header, `${architecture}.embedding_length`) ?? 0,
      vocabularySize: size,
      chatTemplate: f.llama_model_chat_template(model, null),
      bosText: textOf(f, vocab, f.llama_vocab_bos(vocab)),
      eosText: textOf(f, vocab, f.llama_vocab_eos(vocab)),
      addsBos: f.llama_vocab_get_add_bos(vocab),
      tokenizer: metadataString(header, 'tokenizer.ggml.model') ?? '',
      device: '',
      libraryVersion: library.version,
      fingerprint: ''
    },
    tokenize: (text, options) => tokenizer.tokenize(text, options),
    piece: (token, special) => tokenizer.piece(token, special),
    isEndOfGeneration: token => tokenizer.isEndOfGeneration(token),
    dispose: () => f.llama_model_free(model)
  }
}

async function loadModel({ functions: f, log }: Library, file: string): Promise<Pointer> {
  // An empty, null-terminated list of devices: nothing is computed.
  const noDevices = koffi.alloc('void *', 1)
  try {
    return await log.capture(async lines => {
      const params = {
        ...f.llama_model_default_params(),
        vocab_only: true,
        n_gpu_layers: 0,
        devices: noDevices
      }
      const model = await new Promise<Pointer>((resolve, reject) => {
        f.llama_model_load_from_file.async(file, params, (error, result) =>
          error ? reject(error) : resolve(result)
        )
      })
      if (model !== null) return model
      const cause = causeIn(lines)
      throw new BackendError(
        'load_failed',
        `${path.basename(file)} cannot be loaded${cause ? `: ${cause}` : ''}`
      )
    })
  } finally {
    koffi.free(noDevices)
  }
}

function textOf(f: Functions, vocab: Pointer, token: number): string {
  if (token < 0) return ''
  const room = Buffer.alloc(256)
  const length = f.llama_token_to_piece(vocab, token, room, room.length, 0, true)
  return room.toString('utf8', 0, Math.max(0, length))
}
