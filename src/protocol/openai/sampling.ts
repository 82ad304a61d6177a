/** How the answer is drawn: OpenAI's fields and defaults, and llama.cpp's and vLLM's extensions. */
import { randomInt } from 'node:crypto'
import type { SamplerParams } from '../../engine/backend.js'
import { invalidValue } from '../errors.js'
import type { ChatRequest, samplingFields } from './schema/chat.js'

export type SamplingBody = Pick<ChatRequest, keyof typeof samplingFields>

/** llama.cpp's window of the repetition penalty, tokens. */
const defaultRepeatLastN = 64

/**
 * Defaults are OpenAI's: temperature 1, top_p 1, no penalties; no top_k and no min_p.
 * @param vocabularySize token ids in `logit_bias` must be below it
 * @throws ApiError for values outside what can be done
 */
export function toSamplerParams(body: SamplingBody, vocabularySize: number): SamplerParams {
  const frequencyPenalty = body.frequency_penalty ?? 0
  const presencePenalty = body.presence_penalty ?? 0
  // OpenAI's penalties look at the whole text, llama.cpp's repetition penalty at its end.
  const defaultLastN = frequencyPenalty !== 0 || presencePenalty !== 0 ? -1 : defaultRepeatLastN
  return {
    temperature: body.temperature ?? 1,
    topK: Math.max(0, body.top_k ?? 0),
    topP: body.top_p ?? 1,
    minP: body.min_p ?? 0,
    repeatPenalty: body.repeat_penalty ?? body.repetition_penalty ?? 1,
    repeatLastN: body.repeat_last_n ?? defaultLastN,
    frequencyPenalty,
    presencePenalty,
    seed: hasSeed(body) ? foldSeed(body.seed as number) : randomInt(largestSeed + 1),
    logitBias: toLogitBias(body.logit_bias ?? {}, vocabularySize)
  }
}

/** Whether the client asked for a repeatable answer; -1 means a random seed in llama.cpp and vLLM. */
export function hasSeed(body: Pick<SamplingBody, 'seed'>): boolean {
  return body.seed != null && body.seed !== -1
}

/** llama.cpp reads 2^32 - 1 as "draw a random seed", so it is never used. */
const largestSeed = 0xffff_fffe

/** 64 bits to 32: both halves count, small seeds stay what they are. */
function foldSeed(seed: number): number {
  const bits = BigInt.asUintN(64, BigInt(seed))
  return Math.min(Number((bits ^ (bits >> 32n)) & 0xffff_ffffn), largestSeed)
}

/** Beyond it OpenAI refuses and vLLM clamps; a token is as good as banned, or forced, already. */
const largestBias = 100

function toLogitBias(bias: Record<string, number>, vocabularySize: number): SamplerParams['logitBias'] {
  return Object.entries(bias).map(([key, value]) => {
    const token = /^\d{1,10}$/.test(key) ? Number(key) : -1
    if (token < 0 || token >= vocabularySize) {
      throw invalidValue(
        'logit_bias',
        `keys are token ids from 0 to ${vocabularySize - 1}, not ${JSON.stringify(key.slice(0, 40))}.`
      )
    }
    return { token, bias: Math.max(-largestBias, Math.min(largestBias, value)) }
  })
}

/** Stop texts; empty ones would end every answer before it begins. */
export function toStops(stop: SamplingBody['stop']): string[] {
  return (typeof stop === 'string' ? [stop] : (stop ?? [])).filter(text => text !== '')
}
