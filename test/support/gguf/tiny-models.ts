/**
 * Models of a few hundred kilobytes with random weights, one for each way a model can remember. Their text is noise,
 * their shapes and their memory are real.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type VocabularyType, vocabulary } from './vocabulary.js'
import { encodeGguf, type Metadata, type Tensor } from './writer.js'

/**
 * `llama`: attention in all layers. `gemma3`: five layers of six see a sliding window. `mamba`: a running state only.
 * `lfm2`: short convolutions (a running state) and attention in turn. `vocabulary`: no weights.
 */
export type TinyModelKind = 'llama' | 'gemma3' | 'mamba' | 'lfm2' | 'vocabulary'

export interface TinyModelOptions {
  seed?: number
  vocabulary?: VocabularyType
  trainingContext?: number
  /** Sliding window of `gemma3`, tokens. */
  window?: number
  /** Added to, or put instead of, the file's metadata; null takes an entry out. */
  metadata?: Record<string, Metadata | null>
}

const embedding = 64
const heads = 4
const keyHeads = 2
const headSize = embedding / heads
const feedForward = 128

/** The bytes of a tiny model: the same for the same arguments. */
export function tinyModel(kind: TinyModelKind, options: TinyModelOptions = {}): Buffer {
  const words = vocabulary(options.vocabulary ?? 'gpt2')
  const random = new RandomTensors(options.seed ?? 1)
  const build = { llama, gemma3, mamba, lfm2, vocabulary: () => ({ layers: 1, metadata: {}, tensors: [] }) }[
    kind
  ]
  const { layers, metadata, tensors } = build(random, words.size, options)
  const arch = kind === 'vocabulary' ? 'llama' : kind
  const entries: Record<string, Metadata | null> = {
    'general.architecture': { type: 'string', value: arch },
    'general.name': { type: 'string', value: `Tiny ${kind}` },
    [`${arch}.context_length`]: { type: 'u32', value: options.trainingContext ?? 4096 },
    [`${arch}.embedding_length`]: { type: 'u32', value: embedding },
    [`${arch}.block_count`]: { type: 'u32', value: layers },
    [`${arch}.feed_forward_length`]: { type: 'u32', value: kind === 'mamba' ? 0 : feedForward },
    [`${arch}.attention.layer_norm_rms_epsilon`]: { type: 'f32', value: 1e-5 },
    [`${arch}.vocab_size`]: { type: 'u32', value: words.size },
    ...prefixed(arch, metadata),
    ...words.metadata,
    ...options.metadata
  }
  const kept = Object.entries(entries).filter((entry): entry is [string, Metadata] => entry[1] !== null)
  return encodeGguf(Object.fromEntries(kept), tensors)
}

/** Writes a tiny model to a file, with its folder. Returns the path. */
export function writeTinyModel(kind: TinyModelKind, file: string, options: TinyModelOptions = {}): string {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, tinyModel(kind, options))
  return file
}

/**
 * `truncated`: cut in the middle of the weights. `cut-header`: cut in the metadata. `not-gguf`: another magic.
 * `empty`: no bytes. `old`: GGUF version 1. `missing-tensor`: a weight is absent. `wrong-shape`: one is too small.
 * `unknown-architecture`: nobody knows it.
 */
export type DamagedKind =
  | 'truncated'
  | 'cut-header'
  | 'not-gguf'
  | 'empty'
  | 'old'
  | 'missing-tensor'
  | 'wrong-shape'
  | 'unknown-architecture'

export function damagedModel(kind: DamagedKind): Buffer {
  const whole = tinyModel('llama')
  switch (kind) {
    case 'truncated':
      return whole.subarray(0, Math.floor(whole.length * 0.6))
    case 'cut-header':
      return whole.subarray(0, 2000)
    case 'not-gguf':
      return Buffer.concat([Buffer.from('JUNK'), whole.subarray(4)])
    case 'empty':
      return Buffer.alloc(0)
    case 'old':
      return Buffer.concat([whole.subarray(0, 4), Buffer.from([1, 0, 0, 0]), whole.subarray(8)])
    case 'missing-tensor':
      return tinyModel('llama', { metadata: { 'llama.block_count': { type: 'u32', value: 4 } } })
    case 'wrong-shape':
      return tinyModel('llama', { metadata: { 'llama.feed_forward_length': { type: 'u32', value: 96 } } })
    case 'unknown-architecture':
      return tinyModel('llama', {
        metadata: { 'general.architecture': { type: 'string', value: 'octopus' } }
      })
  }
}

export function writeDamagedModel(kind: DamagedKind, file: string): string {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, damagedModel(kind))
  return file
}

interface Build {
  layers: number
  metadata: Record<string, Metadata>
  tensors: Tensor[]
}

function llama(random: RandomTensors, words: number): Build {
  const layers = 3
  const tensors = [...ends(random, words)]
  for (let layer = 0; layer < layers; layer++) {
    const blk = `blk.${layer}.`
    tensors.push(
      random.ones(`${blk}attn_norm.weight`, embedding),
      ...attention(random, blk),
      random.ones(`${blk}ffn_norm.weight`, embedding),
      ...feedForwardOf(random, blk)
    )
  }
  return {
    layers,
    tensors,
    metadata: { ...attentionMetadata(), 'rope.dimension_count': { type: 'u32', value: headSize } }
  }
}

function gemma3(random: RandomTensors, words: number, options: TinyModelOptions): Build {
  const layers = 6
  const tensors = [...ends(random, words)]
  for (let layer = 0; layer < layers; layer++) {
    const blk = `blk.${layer}.`
    tensors.push(
      random.ones(`${blk}attn_norm.weight`, embedding),
      ...attention(random, blk),
      random.ones(`${blk}attn_q_norm.weight`, headSize),
      random.ones(`${blk}attn_k_norm.weight`, headSize),
      random.ones(`${blk}post_attention_norm.weight`, embedding),
      random.ones(`${blk}ffn_norm.weight`, embedding),
      ...feedForwardOf(random, blk),
      random.ones(`${blk}post_ffw_norm.weight`, embedding)
    )
  }
  const metadata: Record<string, Metadata> = {
    ...attentionMetadata(),
    'attention.key_length': { type: 'u32', value: headSize },
    'attention.value_length': { type: 'u32', value: headSize },
    'attention.sliding_window': { type: 'u32', value: options.window ?? 64 }
  }
  return { layers, tensors, metadata }
}

function lfm2(random: RandomTensors, words: number): Build {
  const layers = 4
  const kernel = 3
  const tensors = [
    random.normal('token_embd.weight', [embedding, words], 1),
    random.ones('token_embd_norm.weight', embedding)
  ]
  for (let layer = 0; layer < layers; layer++) {
    const blk = `blk.${layer}.`
    tensors.push(
      random.ones(`${blk}attn_norm.weight`, embedding),
      random.ones(`${blk}ffn_norm.weight`, embedding),
      ...feedForwardOf(random, blk)
    )
    if (layer % 2 === 1) {
      tensors.push(
        ...attention(random, blk),
        random.ones(`${blk}attn_q_norm.weight`, headSize),
        random.ones(`${blk}attn_k_norm.weight`, headSize)
      )
    } else {
      tensors.push(
        random.normal(`${blk}shortconv.conv.weight`, [kernel, embedding]),
        random.normal(`${blk}shortconv.in_proj.weight`, [embedding, 3 * embedding]),
        random.normal(`${blk}shortconv.out_proj.weight`, [embedding, embedding])
      )
    }
  }
  const perLayer = Array.from({ length: layers }, (_, layer) => (layer % 2 === 1 ? keyHeads : 0))
  const metadata: Record<string, Metadata> = {
    ...attentionMetadata(),
    'attention.head_count_kv': { type: 'i32s', value: perLayer },
    'shortconv.l_cache': { type: 'u32', value: kernel }
  }
  return { layers, tensors, metadata }
}

function mamba(random: RandomTensors, words: number): Build {
  const layers = 3
  const kernel = 4
  const inner = 2 * embedding
  const state = 8
  const rank = 4
  const tensors = [...ends(random, words)]
  for (let layer = 0; layer < layers; layer++) {
    const blk = `blk.${layer}.`
    tensors.push(
      random.ones(`${blk}attn_norm.weight`, embedding),
      random.normal(`${blk}ssm_in.weight`, [embedding, 2 * inner]),
      random.normal(`${blk}ssm_conv1d.weight`, [kernel, inner]),
      random.normal(`${blk}ssm_conv1d.bias`, [inner], 0.1),
      random.normal(`${blk}ssm_x.weight`, [inner, rank + 2 * state]),
      random.normal(`${blk}ssm_dt.weight`, [rank, inner]),
      random.normal(`${blk}ssm_dt.bias`, [inner], 0.1),
      // The state decays: negative, a different rate for each of its elements.
      random.filled(`${blk}ssm_a`, [state, inner], index => -1 - (index % state)),
      random.ones(`${blk}ssm_d`, inner),
      random.normal(`${blk}ssm_out.weight`, [inner, embedding])
    )
  }
  const metadata: Record<string, Metadata> = {
    'ssm.conv_kernel': { type: 'u32', value: kernel },
    'ssm.inner_size': { type: 'u32', value: inner },
    'ssm.state_size': { type: 'u32', value: state },
    'ssm.time_step_rank': { type: 'u32', value: rank }
  }
  return { layers, tensors, metadata }
}

function ends(random: RandomTensors, words: number): Tensor[] {
  return [
    random.normal('token_embd.weight', [embedding, words], 1),
    random.ones('output_norm.weight', embedding)
  ]
}

function attention(random: RandomTensors, blk: string): Tensor[] {
  return [
    random.normal(`${blk}attn_q.weight`, [embedding, embedding]),
    random.normal(`${blk}attn_k.weight`, [embedding, keyHeads * headSize]),
    random.normal(`${blk}attn_v.weight`, [embedding, keyHeads * headSize]),
    random.normal(`${blk}attn_output.weight`, [embedding, embedding])
  ]
}

function feedForwardOf(random: RandomTensors, blk: string): Tensor[] {
  return [
    random.normal(`${blk}ffn_gate.weight`, [embedding, feedForward]),
    random.normal(`${blk}ffn_up.weight`, [embedding, feedForward]),
    random.normal(`${blk}ffn_down.weight`, [feedForward, embedding])
  ]
}

function attentionMetadata(): Record<string, Metadata> {
  return {
    'attention.head_count': { type: 'u32', value: heads },
    'attention.head_count_kv': { type: 'u32', value: keyHeads },
    'rope.freq_base': { type: 'f32', value: 10000 }
  }
}

function prefixed(arch: string, metadata: Record<string, Metadata>): Record<string, Metadata> {
  return Object.fromEntries(Object.entries(metadata).map(([key, value]) => [`${arch}.${key}`, value]))
}

class RandomTensors {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** Values whose spread keeps the size of what flows through a matrix, or the given one. */
  normal(name: string, shape: number[], spread = 1 / Math.sqrt(shape[0]!)): Tensor {
    return this.filled(name, shape, () => this.#gaussian() * spread)
  }

  ones(name: string, length: number): Tensor {
    return this.filled(name, [length], () => 1)
  }

  filled(name: string, shape: number[], value: (index: number) => number): Tensor {
    const length = shape.reduce((product, size) => product * size, 1)
    return { name, shape, values: Float32Array.from({ length }, (_, index) => value(index)) }
  }

  /** Near enough to a normal distribution: the sum of 12 uniform values. */
  #gaussian(): number {
    let sum = -6
    for (let draw = 0; draw < 12; draw++) sum += this.#uniform()
    return sum
  }

  /** mulberry32 */
  #uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
