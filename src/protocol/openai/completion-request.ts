/** A completion request as the engine's own requests, one per prompt. Pure: no lookup, no I/O. */
import type { GenerationRequest, PromptSegment } from '../../engine/messages.js'
import { type Caller, saltOf } from '../conversation.js'
import { invalidValue, unsupportedValue } from '../errors.js'
import { toConstraint } from './chat-request.js'
import type { InfillTokens } from './infill.js'
import { hasSeed, toSamplerParams, toStops } from './sampling.js'
import type { CompletionRequest } from './schema/completion.js'

/** One prompt of the request, as the client wrote it. */
export type CompletionPrompt = string | number[]

/** OpenAI's default. */
const defaultMaxTokens = 16

/** What the fields of a GenerationRequest are called in a completion request, for the engine's own refusals. */
export function completionParamNames(body: CompletionRequest): Record<string, string> {
  return {
    prompt: 'prompt',
    choices: 'n',
    maxTokens: 'max_tokens',
    sampling: 'temperature',
    'sampling.logitBias': 'logit_bias',
    logprobs: 'logprobs',
    constraint: body.grammar == null ? 'response_format' : 'grammar',
    schema: 'response_format.json_schema.schema'
  }
}

/**
 * Everything that is wrong with a request and needs neither model nor engine; the schema has seen to the shapes.
 * @throws ApiError
 */
export function checkCompletionRequest(body: CompletionRequest): void {
  if (body.stream_options != null && body.stream !== true) {
    throw invalidValue('stream_options', "it is only allowed together with 'stream': true.")
  }
  const candidates = candidatesOf(body)
  if (candidates < (body.n ?? 1)) throw invalidValue('best_of', "it must be at least 'n'.")
  if (candidates > (body.n ?? 1) && body.stream === true) {
    throw invalidValue('best_of', 'the best answers are known at the end only: they cannot be streamed.')
  }
  if (body.echo === true && body.suffix) {
    throw unsupportedValue('echo', "it cannot be combined with 'suffix'.")
  }
  toConstraint(body)
}

/** Every prompt of the request; '' where there is none. */
export function promptsOf({ prompt }: Pick<CompletionRequest, 'prompt'>): CompletionPrompt[] {
  if (prompt === null) return ['']
  if (typeof prompt === 'string') return [prompt]
  if (prompt.length === 0) return ['']
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as CompletionPrompt[])
}

/** Answers generated per prompt, of which `n` are given. */
export function candidatesOf(body: Pick<CompletionRequest, 'n' | 'best_of'>): number {
  return body.best_of || (body.n ?? 1)
}

export interface PromptContext {
  /** The tokenizer puts a BOS token in front by itself. */
  addsBos: boolean
  eosText: string
  vocabularySize: number
  /** Tokens for filling a gap; null: the model does not know how. */
  infill: InfillTokens | null
}

/** @throws ApiError for tokens outside the vocabulary, and for a suffix that the model cannot take into account */
export function toSegments(
  prompt: CompletionPrompt,
  body: Pick<CompletionRequest, 'suffix'>,
  context: PromptContext
): PromptSegment[] {
  if (body.suffix) {
    const { infill } = context
    if (!infill) {
      throw unsupportedValue('suffix', 'this model has no tokens for filling a gap (fill in the middle).')
    }
    return [
      { type: 'text', text: '', parseSpecial: true, addSpecial: true },
      { type: 'tokens', tokens: [infill.prefix] },
      typeof prompt === 'string' ? plain(prompt) : tokenSegment(prompt, context),
      { type: 'tokens', tokens: [infill.suffix] },
      plain(body.suffix),
      { type: 'tokens', tokens: [infill.middle] }
    ]
  }
  if (typeof prompt !== 'string') return [tokenSegment(prompt, context)]
  // Nothing to go on: as from the beginning of a new document (the specification's words), which models know by the
  // token that separates documents.
  const text = prompt === '' && !context.addsBos ? context.eosText : prompt
  return [{ type: 'text', text, parseSpecial: true, addSpecial: true }]
}

function plain(text: string): PromptSegment {
  return { type: 'text', text, parseSpecial: false, addSpecial: false }
}

function tokenSegment(tokens: number[], { vocabularySize }: PromptContext): PromptSegment {
  const wrong = tokens.find(token => token < 0 || token >= vocabularySize)
  if (wrong !== undefined) {
    throw invalidValue('prompt', `token ${wrong} is not in the vocabulary (0 to ${vocabularySize - 1}).`)
  }
  return { type: 'tokens', tokens }
}

/**
 * The engine's request for any of the prompts.
 * @throws ApiError
 */
export function toCompletionGeneration(
  body: CompletionRequest,
  prompt: PromptSegment[],
  context: { caller: Caller; vocabularySize: number }
): GenerationRequest {
  const sampling = toSamplerParams(body, context.vocabularySize)
  const choices = candidatesOf(body)
  const ranked = choices > (body.n ?? 1)
  return {
    prompt,
    // 0: none, the prompt is only counted (and echoed).
    maxTokens: body.max_tokens ?? defaultMaxTokens,
    choices,
    sampling,
    stop: toStops(body.stop),
    ignoreEndOfText: body.ignore_eos ?? false,
    emitSpecial: false,
    logprobs: body.logprobs ?? (ranked ? 0 : null),
    ...(body.echo === true && body.logprobs != null ? { promptLogprobs: body.logprobs } : {}),
    constraint: toConstraint(body),
    cachePrompt: body.cache_prompt ?? true,
    salt: saltOf(context.caller, body.cache_salt ?? null),
    tenant: context.caller.tenant,
    priority: 0,
    reproducible: hasSeed(body) && sampling.temperature === 0,
    deadlines: { queue: null, firstToken: null, total: null }
  }
}
