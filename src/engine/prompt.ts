import type { Backend } from './backend.js'
import type { PromptSegment } from './messages.js'

export interface TokenizedPrompt {
  tokens: Int32Array
  /** Prompt lengths in tokens after which a prefix is worth keeping, ascending. */
  anchors: number[]
}

type TokenizingBackend = Pick<Backend, 'info' | 'tokenize' | 'piece'>

/** Tokenizes prompts, off the engine's loop. */
export class PromptTokenizer {
  private constructor(
    private readonly backend: TokenizingBackend,
    /** The token that the tokenizer puts in front, -1 when it puts none. */
    private readonly bos: number
  ) {}

  static async create(backend: TokenizingBackend): Promise<PromptTokenizer> {
    const bos = backend.info.addsBos
      ? await backend.tokenize('', { addSpecial: true, parseSpecial: false })
      : new Int32Array(0)
    return new PromptTokenizer(backend, bos[0] ?? -1)
  }

  async tokenize(segments: readonly PromptSegment[]): Promise<TokenizedPrompt> {
    const parts: Int32Array[] = []
    const anchors: number[] = []
    let length = 0
    for (const segment of segments) {
      const tokens = segment.type === 'tokens' ? Int32Array.from(segment.tokens) : await this.text(segment)
      if (segment.type === 'text' && segment.anchors) {
        for (const count of this.tokensUpTo(segment.text, tokens, segment.anchors))
          anchors.push(length + count)
      }
      parts.push(tokens)
      length += tokens.length
    }
    const tokens = new Int32Array(length)
    let at = 0
    for (const part of parts) {
      tokens.set(part, at)
      at += part.length
    }
    return { tokens, anchors: anchors.filter((anchor, i) => anchor > 0 && anchor !== anchors[i - 1]) }
  }

  private async text(segment: PromptSegment & { type: 'text' }): Promise<Int32Array> {
    const { addSpecial, parseSpecial } = segment
    const tokens = await this.backend.tokenize(segment.text, { addSpecial, parseSpecial })
    // A template that writes BOS itself and a tokenizer that adds one: never two (they spoil small models' answers).
    const doubled = this.bos !== -1 && tokens[0] === this.bos && tokens[1] === this.bos
    return doubled ? tokens.subarray(1) : tokens
  }

  /** The most tokens whose text ends at or before each offset (UTF-16 units, ascending). */
  private tokensUpTo(text: string, tokens: Int32Array, offsets: readonly number[]): number[] {
    const counts: number[] = []
    let index = 0
    let bytes = 0
    for (const offset of offsets) {
      const wanted = Buffer.byteLength(text.slice(0, offset))
      while (index < tokens.length) {
        const size = this.backend.piece(tokens[index] as number, true).length
        if (bytes + size > wanted) break
        bytes += size
        index++
      }
      counts.push(index)
    }
    return counts
  }
}
