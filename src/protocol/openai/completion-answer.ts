/** Events of a completion request as one `text_completion`. */
import type { FinishReason, PromptLogprob, RequestEvent, RequestUsage } from '../../engine/messages.js'
import type { AnswerHead } from './answer-head.js'
import {
  appendLogprobs,
  type CompletionLogprobs,
  echoedTokens,
  emptyLogprobs,
  LogprobWriter
} from './completion-logprobs.js'
import { toUsage, type Usage } from './usage.js'

export interface CompletionOptions {
  /** Text in front of the answers to each prompt: the prompt itself with `echo`, otherwise ''. */
  echoes: string[]
  /** Answers generated per prompt. */
  candidates: number
  /** Answers given per prompt: the best of the candidates. */
  choices: number
  /** The client asked for log probabilities. */
  logprobs: boolean
  /** And of the echoed prompts' tokens too. */
  promptLogprobs: boolean
}

export interface Completion {
  id: string
  object: 'text_completion'
  created: number
  model: string
  system_fingerprint?: string
  choices: Array<{
    index: number
    text: string
    logprobs: CompletionLogprobs | null
    finish_reason: FinishReason
  }>
  usage?: Usage
}

/** Fields that a whole completion and every chunk of a streamed one begin with. */
export function completionHead(head: AnswerHead): Omit<Completion, 'choices' | 'usage'> {
  return {
    id: head.id,
    object: 'text_completion',
    created: head.created,
    model: head.model,
    ...(head.systemFingerprint === null ? {} : { system_fingerprint: head.systemFingerprint })
  }
}

interface Candidate {
  text: string
  logprobs: CompletionLogprobs
  writer: LogprobWriter
  reason: FinishReason
}

/** Takes a request's events in order; choice numbers count through all prompts. */
export class CompletionAnswer {
  readonly #candidates: Candidate[]
  readonly #prompts: PromptLogprob[][]
  #usage: RequestUsage | undefined

  constructor(
    private readonly head: AnswerHead,
    private readonly options: CompletionOptions
  ) {
    this.#prompts = options.echoes.map(() => [])
    this.#candidates = options.echoes.flatMap(echo =>
      Array.from({ length: options.candidates }, () => ({
        text: echo,
        logprobs: emptyLogprobs(),
        writer: new LogprobWriter([...echo].length),
        reason: 'stop' as const
      }))
    )
  }

  add(event: RequestEvent): void {
    if (event.type === 'text') {
      const candidate = this.#candidate(event.choice)
      candidate.text += event.text
      if (event.logprobs) appendLogprobs(candidate.logprobs, candidate.writer.write(event.logprobs))
    } else if (event.type === 'prompt') this.#prompts[event.prompt]?.push(...event.logprobs)
    else if (event.type === 'finish') this.#candidate(event.choice).reason = event.reason
    else if (event.type === 'end') this.#usage = event.usage
  }

  finish(): Completion {
    const { echoes, candidates } = this.options
    const chosen = echoes.flatMap((_, prompt) =>
      this.#best(this.#candidates.slice(prompt * candidates, (prompt + 1) * candidates)).map(candidate => ({
        ...candidate,
        logprobs: this.#logprobs(prompt, candidate.logprobs)
      }))
    )
    return {
      ...completionHead(this.head),
      choices: chosen.map(({ text, logprobs, reason }, index) => ({
        index,
        text,
        logprobs,
        finish_reason: reason
      })),
      ...(this.#usage ? { usage: toUsage(this.#usage) } : {})
    }
  }

  #logprobs(prompt: number, generated: CompletionLogprobs): CompletionLogprobs | null {
    const { echoes, logprobs, promptLogprobs } = this.options
    if (!logprobs) return null
    if (!promptLogprobs) return generated
    const tokens = echoedTokens(this.#prompts[prompt] ?? [], echoes[prompt] ?? '')
    const all = new LogprobWriter(0).write(tokens)
    appendLogprobs(all, generated)
    return all
  }

  /** Those with the highest log probability per token, the best first. */
  #best(candidates: Candidate[]): Candidate[] {
    const { choices } = this.options
    if (choices === candidates.length) return candidates
    return [...candidates].sort((a, b) => meanLogprob(b) - meanLogprob(a)).slice(0, choices)
  }

  #candidate(index: number): Candidate {
    const candidate = this.#candidates[index]
    if (!candidate) throw new RangeError(`the engine sent choice ${index} of ${this.#candidates.length}`)
    return candidate
  }
}

function meanLogprob({ logprobs }: Candidate): number {
  const { token_logprobs: values } = logprobs
  if (values.length === 0) return Number.NEGATIVE_INFINITY
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
