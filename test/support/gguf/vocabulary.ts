/** Two tiny vocabularies that can spell any text: byte-level BPE (`gpt2`) and SentencePiece with bytes (`llama`). */
import type { Metadata } from './writer.js'

export type VocabularyType = 'gpt2' | 'spm'

const normal = 1
const unknown = 2
const control = 3
const byte = 6

export const chatTemplate =
  "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n" +
  '{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'

/** The `tokenizer.*` entries of a file, and the number of tokens. */
export function vocabulary(type: VocabularyType): { metadata: Record<string, Metadata>; size: number } {
  return type === 'gpt2' ? byteLevel() : sentencePiece()
}

function byteLevel() {
  const tokens = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', ...byteAlphabet()]
  const merges: string[] = []
  for (const word of ['Ġthe', 'Ġa', 'ing', 'er', 'Ġis']) {
    let left = [...word][0]!
    for (const letter of [...word].slice(1)) {
      merges.push(`${left} ${letter}`)
      left += letter
      if (!tokens.includes(left)) tokens.push(left)
    }
  }
  const metadata: Record<string, Metadata> = {
    'tokenizer.ggml.model': { type: 'string', value: 'gpt2' },
    'tokenizer.ggml.pre': { type: 'string', value: 'gpt-2' },
    'tokenizer.ggml.tokens': { type: 'strings', value: tokens },
    'tokenizer.ggml.token_type': {
      type: 'i32s',
      value: tokens.map((_, token) => (token < 3 ? control : normal))
    },
    'tokenizer.ggml.merges': { type: 'strings', value: merges },
    'tokenizer.ggml.bos_token_id': { type: 'u32', value: 0 },
    'tokenizer.ggml.eos_token_id': { type: 'u32', value: 2 },
    'tokenizer.ggml.add_bos_token': { type: 'bool', value: false },
    'tokenizer.chat_template': { type: 'string', value: chatTemplate }
  }
  return { metadata, size: tokens.length }
}

function sentencePiece() {
  const bytes = Array.from({ length: 256 }, (_, value) => `<0x${hex(value)}>`)
  const words = ['▁the', '▁a', '▁is', 'ing', 'er', '▁t', 'th', 'he', 'in', 'ng', '▁i', 'is']
  const letters = [...'▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?é日']
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...words, ...letters]
  const kind = (token: number) => {
    if (token === 0) return unknown
    if (token < 3) return control
    return token < 259 ? byte : normal
  }
  const metadata: Record<string, Metadata> = {
    'tokenizer.ggml.model': { type: 'string', value: 'llama' },
    'tokenizer.ggml.tokens': { type: 'strings', value: tokens },
    'tokenizer.ggml.scores': { type: 'f32s', value: tokens.map((_, token) => -token) },
    'tokenizer.ggml.token_type': { type: 'i32s', value: tokens.map((_, token) => kind(token)) },
    'tokenizer.ggml.bos_token_id': { type: 'u32', value: 1 },
    'tokenizer.ggml.eos_token_id': { type: 'u32', value: 2 },
    'tokenizer.ggml.add_bos_token': { type: 'bool', value: true }
  }
  return { metadata, size: tokens.length }
}

/** GPT-2's printable stand-ins for the 256 bytes, in byte order. */
function byteAlphabet(): string[] {
  let next = 256
  return Array.from({ length: 256 }, (_, value) => {
    const printable = (value >= 33 && value <= 126) || (value >= 161 && value <= 172) || value >= 174
    return String.fromCodePoint(printable ? value : next++)
  })
}

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, '0')
}
