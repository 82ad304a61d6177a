import type { Sampler, SamplerParams } from '../engine/backend.js'
import { isIndex } from './batch.js'
import { type Pointer, randomSeed } from './layout.js'
import type { Functions } from './library.js'

/**
 * Candidates kept where the request sets no top_k. Without a top_k, top_p sorts the whole vocabulary (10 ms a token at
 * 151k entries) and a plain draw costs ten times as much.
 */
const generousTopK = 1024

/** One link of a sampler chain. */
export type SamplerStep =
  | { kind: 'logit_bias'; biases: Array<{ token: number; bias: number }> }
  | { kind: 'penalties'; lastN: number; repeat: number; frequency: number; presence: number }
  | { kind: 'top_k'; k: number }
  | { kind: 'top_p'; p: number }
  | { kind: 'min_p'; p: number }
  | { kind: 'temperature'; value: number }
  | { kind: 'dist'; seed: number }
  | { kind: 'greedy' }

/**
 * The cheapest chain that does what the parameters say, in llama.cpp's order.
 *
 * @param vocabularySize Token ids are below it.
 * @param historyLimit What a `repeatLastN` of -1 stands for.
 * @throws RangeError for a parameter that the library does not survive.
 */
export function samplerSteps(
  params: SamplerParams,
  vocabularySize: number,
  historyLimit: number
): SamplerStep[] {
  check(params, vocabularySize)
  const steps: SamplerStep[] = []
  if (params.logitBias.length > 0) {
    const biases = params.logitBias.map(({ token, bias }) => ({ token, bias: bias ?? -Infinity }))
    steps.push({ kind: 'logit_bias', biases })
  }
  const lastN = params.repeatLastN < 0 ? historyLimit : Math.min(params.repeatLastN, historyLimit)
  const neutral = params.repeatPenalty === 1 && params.frequencyPenalty === 0 && params.presencePenalty === 0
  if (lastN > 0 && !neutral) {
    steps.push({
      kind: 'penalties',
      lastN,
      repeat: params.repeatPenalty,
      frequency: params.frequencyPenalty,
      presence: params.presencePenalty
    })
  }
  if (params.temperature <= 0 || params.topK === 1) return [...steps, { kind: 'greedy' }]
  const k = Math.min(params.topK > 0 ? params.topK : generousTopK, vocabularySize)
  steps.push({ kind: 'top_k', k })
  if (params.topP < 1) steps.push({ kind: 'top_p', p: params.topP })
  if (params.minP > 0) steps.push({ kind: 'min_p', p: params.minP })
  if (params.temperature !== 1) steps.push({ kind: 'temperature', value: params.temperature })
  // The seed that means "draw one" would not be reproducible; its neighbour stands in for it.
  const seed = params.seed >>> 0
  steps.push({ kind: 'dist', seed: seed === randomSeed ? randomSeed - 1 : seed })
  return steps
}

function check(params: SamplerParams, vocabularySize: number): void {
  const numbers = {
    temperature: params.temperature,
    topK: params.topK,
    topP: params.topP,
    minP: params.minP,
    repeatPenalty: params.repeatPenalty,
    repeatLastN: params.repeatLastN,
    frequencyPenalty: params.frequencyPenalty,
    presencePenalty: params.presencePenalty,
    seed: params.seed
  }
  for (const [name, value] of Object.entries(numbers)) {
    if (!Number.isFinite(value)) throw new RangeError(`${name} is not a number`)
  }
  if (params.repeatPenalty <= 0) throw new RangeError('repeatPenalty must be above 0')
  for (const { token, bias } of params.logitBias) {
    if (!isIndex(token, vocabularySize)) throw new RangeError(`logitBias: no token ${token}`)
    if (Number.isNaN(bias)) throw new RangeError(`logitBias of token ${token} is not a number`)
  }
}

/** What a sampler needs of the backend it draws from. */
export interface SamplerHost {
  functions: Functions
  vocabularySize: number
  historyLimit: number
  /**
   * Where the logits of a row of the last batch are.
   * @throws when a decode is running, or `row` has no output.
   */
  drawable(row: number): { context: Pointer; row: number }
  released(sampler: NativeSampler): void
}

/** A libllama sampler chain. */
export class NativeSampler implements Sampler {
  readonly #host: SamplerHost
  #chain: Pointer

  constructor(host: SamplerHost, params: SamplerParams) {
    const steps = samplerSteps(params, host.vocabularySize, host.historyLimit)
    this.#host = host
    this.#chain = host.functions.llama_sampler_chain_init({ no_perf: true })
    for (const step of steps) {
      host.functions.llama_sampler_chain_add(this.#chain, createStep(host, step))
    }
  }

  sample(row: number): number {
    const place = this.#host.drawable(row)
    // Accepts the token as well.
    return this.#host.functions.llama_sampler_sample(this.#alive(), place.context, place.row)
  }

  accept(token: number): void {
    if (!isIndex(token, this.#host.vocabularySize)) throw new RangeError(`no token ${token}`)
    this.#host.functions.llama_sampler_accept(this.#alive(), token)
  }

  free(): void {
    if (this.#chain === null) return
    this.#host.functions.llama_sampler_free(this.#chain)
    this.#chain = null
    this.#host.released(this)
  }

  #alive(): Pointer {
    if (this.#chain === null) throw new Error('the sampler has been freed')
    return this.#chain
  }
}

function createStep({ functions: f, vocabularySize }: SamplerHost, step: SamplerStep): Pointer {
  switch (step.kind) {
    case 'logit_bias':
      return f.llama_sampler_init_logit_bias(vocabularySize, step.biases.length, step.biases)
    case 'penalties':
      return f.llama_sampler_init_penalties(
        vocabularySize,
        step.lastN,
        step.repeat,
        step.frequency,
        step.presence
      )
    case 'top_k':
      return f.llama_sampler_init_top_k(step.k)
    case 'top_p':
      return f.llama_sampler_init_top_p(step.p, 1)
    case 'min_p':
      return f.llama_sampler_init_min_p(step.p, 1)
    case 'temperature':
      return f.llama_sampler_init_temp(step.value)
    case 'dist':
      return f.llama_sampler_init_dist(step.seed)
    case 'greedy':
      return f.llama_sampler_init_greedy()
  }
}
