/** What loading a whole model and loading its vocabulary alone have in common. */
import path from 'node:path'
import { BackendError, type ModelInfo } from '../engine/backend.js'
import koffi from './ffi.js'
import { type GgufHeader, metadataString } from './gguf.js'
import type { Pointer, StructValue } from './layout.js'
import type { Functions, Library } from './library.js'
import { causeIn } from './log.js'

let lastLoad: Promise<unknown> = Promise.resolve()

/** Loads share the library's log and its backends: one at a time. */
export function inTurn<T>(load: () => Promise<T>): Promise<T> {
  const turn = lastLoad.catch(() => {}).then(load)
  lastLoad = turn
  return turn
}

/**
 * Opens a model's file off the event loop.
 *
 * @param withoutDevices keeps a GPU build off the GPU
 * @param lines of the library's log since the load began
 * @throws BackendError `load_failed`
 */
export async function openModel(
  { functions: f }: Library,
  file: string,
  params: StructValue<'llama_model_params'>,
  withoutDevices: boolean,
  lines: readonly string[]
): Promise<Pointer> {
  // An empty, null-terminated list.
  const devices = withoutDevices ? koffi.alloc('void *', 1) : null
  try {
    const model = await new Promise<Pointer>((resolve, reject) => {
      f.llama_model_load_from_file.async(file, { ...params, devices }, (error, result) =>
        error ? reject(error) : resolve(result)
      )
    })
    if (model !== null) return model
    const cause = causeIn(lines)
    throw new BackendError(
      'load_failed',
      `${path.basename(file)} cannot be loaded${cause ? `: ${cause}` : ''}`
    )
  } finally {
    if (devices !== null) koffi.free(devices)
  }
}

/** Tokenizing without a vocabulary makes the library abort. @throws BackendError `load_failed` */
export function assertVocabulary(f: Functions, vocab: Pointer, file: string): void {
  if (f.llama_vocab_type(vocab) === 0 || f.llama_vocab_n_tokens(vocab) <= 0) {
    throw new BackendError('load_failed', `${path.basename(file)} has no vocabulary`)
  }
}

/** What the file says of a model, and its vocabulary. */
export function describeFile(
  { functions: f, version }: Library,
  model: Pointer,
  header: GgufHeader,
  file: string
): Pick<
  ModelInfo,
  | 'path'
  | 'name'
  | 'architecture'
  | 'vocabularySize'
  | 'chatTemplate'
  | 'bosText'
  | 'eosText'
  | 'addsBos'
  | 'tokenizer'
  | 'libraryVersion'
> {
  const vocab = f.llama_model_get_vocab(model)
  const room = Buffer.alloc(256)
  const textOf = (token: number) => {
    if (token < 0) return ''
    const length = f.llama_token_to_piece(vocab, token, room, room.length, 0, true)
    return room.toString('utf8', 0, Math.max(0, length))
  }
  return {
    path: path.resolve(file),
    name: metadataString(header, 'general.name') || path.basename(file),
    architecture: metadataString(header, 'general.architecture') ?? '',
    vocabularySize: f.llama_vocab_n_tokens(vocab),
    chatTemplate: f.llama_model_chat_template(model, null),
    bosText: textOf(f.llama_vocab_bos(vocab)),
    eosText: textOf(f.llama_vocab_eos(vocab)),
    addsBos: f.llama_vocab_get_add_bos(vocab),
    tokenizer: metadataString(header, 'tokenizer.ggml.model') ?? '',
    libraryVersion: version
  }
}
