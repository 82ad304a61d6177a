import { BackendError } from '../engine/backend.js'
import koffi from './ffi.js'
import type { Pointer } from './layout.js'
import type { Functions } from './library.js'

/** Views of the logits that contexts hold after a decode. */
export class LogitsViews {
  /** By context; they seldom move. */
  readonly #views = new Map<Pointer, { address: Pointer; rows: Float32Array[] }>()

  constructor(
    private readonly functions: Functions,
    private readonly vocabularySize: number
  ) {}

  /**
   * @param index among the rows with output of the context's last decode.
   * @param most rows with output that the context may have.
   * @returns [vocabularySize] floats in the library's memory, valid until the context's next decode.
   * @throws BackendError when there are none.
   */
  row(context: Pointer, index: number, most: number): Float32Array {
    const address = this.functions.llama_get_logits(context)
    if (address === null) throw new BackendError('decode_failed', 'there are no logits')
    let known = this.#views.get(context)
    if (!known || known.address !== address) {
      known = { address, rows: this.#view(address, most) }
      this.#views.set(context, known)
    }
    return known.rows[index] as Float32Array
  }

  /** One view over all rows: a view counts as much external memory as it spans. */
  #view(address: Pointer, rows: number): Float32Array[] {
    const size = this.vocabularySize
    const all = new Float32Array(koffi.view(address, 4 * size * rows))
    return Array.from({ length: rows }, (_, at) => all.subarray(at * size, (at + 1) * size))
  }
}
