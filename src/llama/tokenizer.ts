import { BackendError, type Tokenization } from '../engine/backend.js'
import { isIndex } from './batch.js'
import koffi from './ffi.js'
import type { Pointer } from './layout.js'
import type { Functions } from './library.js'

/** Bytes of text below which a call on this thread (some microseconds) is cheaper than the way to another one. */
const smallText = 2048
/** More tokenizations at once would take the cores that decoding needs. */
const mostInFlight = 2
/** The library counts bytes in 32 bits. */
const longestText = 0x7fffffff

/** Text to tokens and back, for one model. Thread-safe in the library, so it may overlap with a decode. */
export class Tokenizer {
  readonly #functions: Functions
  readonly #vocab: Pointer
  readonly #size: number
  readonly #canAddSpecial: boolean
  readonly #pieces: Array<Array<Uint8Array | undefined>> = [[], []]
  #scratch = new Uint8Array(256)
  #running = 0
  readonly #waiting: Array<() => void> = []

  constructor(functions: Functions, vocab: Pointer, size: number) {
    this.#functions = functions
    this.#vocab = vocab
    this.#size = size
    // A vocabulary that asks for a BOS, EOS or SEP it does not have makes the library abort.
    const has = (wanted: boolean, token: number) => !wanted || token >= 0
    this.#canAddSpecial =
      has(functions.llama_vocab_get_add_bos(vocab), functions.llama_vocab_bos(vocab)) &&
      has(functions.llama_vocab_get_add_eos(vocab), functions.llama_vocab_eos(vocab)) &&
      has(functions.llama_vocab_get_add_sep(vocab), functions.llama_vocab_sep(vocab))
  }

  /** Calls on other threads that have not come back. The model must live as long. */
  get inFlight(): number {
    return this.#running + this.#waiting.length
  }

  /** @throws BackendError `decode_failed` when the library cannot tokenize the text. */
  async tokenize(text: string, options: Tokenization): Promise<Int32Array> {
    const bytes = Buffer.from(text, 'utf8')
    if (bytes.length > longestText) throw new RangeError('the text is longer than 2 GiB')
    const addSpecial = options.addSpecial && this.#canAddSpecial
    if (bytes.length <= smallText) return this.#tokenizeHere(bytes, addSpecial, options.parseSpecial)
    await this.#enter()
    try {
      return await this.#tokenizeElsewhere(bytes, addSpecial, options.parseSpecial)
    } finally {
      this.#leave()
    }
  }

  /** The bytes of a token; see Backend.piece. The array is shared: do not write to it. */
  piece(token: number, special = false): Uint8Array {
    if (!isIndex(token, this.#size)) throw new RangeError(`no token ${token}`)
    const cache = this.#pieces[special ? 1 : 0]!
    const known = cache[token]
    if (known) return known
    const piece = this.#render(token, special)
    cache[token] = piece
    return piece
  }

  isEndOfGeneration(token: number): boolean {
    if (!isIndex(token, this.#size)) throw new RangeError(`no token ${token}`)
    return this.#functions.llama_vocab_is_eog(this.#vocab, token)
  }

  #render(token: number, special: boolean): Uint8Array {
    const render = () =>
      this.#functions.llama_token_to_piece(
        this.#vocab,
        token,
        this.#scratch,
        this.#scratch.length,
        0,
        special
      )
    let length = render()
    if (length < 0) {
      this.#scratch = new Uint8Array(-length)
      length = render()
    }
    return this.#scratch.slice(0, Math.max(0, length))
  }

  #tokenizeHere(bytes: Buffer, addSpecial: boolean, parseSpecial: boolean): Int32Array {
    const call = (room: Int32Array) =>
      this.#functions.llama_tokenize(
        this.#vocab,
        bytes,
        bytes.length,
        room,
        room.length,
        addSpecial,
        parseSpecial
      )
    let room = new Int32Array(bytes.length + 8)
    let count = call(room)
    if (count < 0) {
      room = new Int32Array(needed(count))
      count = call(room)
    }
    return room.slice(0, count)
  }

  /** Text and tokens live in native memory meanwhile: a garbage collector may move or free nothing of it. */
  async #tokenizeElsewhere(bytes: Buffer, addSpecial: boolean, parseSpecial: boolean): Promise<Int32Array> {
    const text = koffi.alloc('uint8', bytes.length)
    try {
      new Uint8Array(koffi.view(text, bytes.length)).set(bytes)
      let room = Math.ceil(bytes.length / 2) + 8
      for (;;) {
        const tokens = koffi.alloc('int32', room)
        try {
          const count = await this.#call(text, bytes.length, tokens, room, addSpecial, parseSpecial)
          if (count >= 0) return new Int32Array(koffi.view(tokens, room * 4)).slice(0, count)
          room = needed(count)
        } finally {
          koffi.free(tokens)
        }
      }
    } finally {
      koffi.free(text)
    }
  }

  #call(
    text: Pointer,
    bytes: number,
    tokens: Pointer,
    room: number,
    addSpecial: boolean,
    parseSpecial: boolean
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#functions.llama_tokenize.async(
        this.#vocab,
        text,
        bytes,
        tokens,
        room,
        addSpecial,
        parseSpecial,
        (error, count) => (error ? reject(error) : resolve(count))
      )
    })
  }

  async #enter(): Promise<void> {
    if (this.#running >= mostInFlight) await new Promise<void>(resolve => this.#waiting.push(resolve))
    else this.#running++
  }

  /** Hands the place over to the next in line. */
  #leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#running--
  }
}

/** A negative count says how much room is needed; INT32_MIN says that it cannot be counted. */
function needed(count: number): number {
  if (count === -0x80000000) throw new BackendError('decode_failed', 'the text has too many tokens')
  return -count
}
