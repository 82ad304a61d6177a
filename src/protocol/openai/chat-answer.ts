/** Events of a chat request as one `chat.completion`. */
import type { FinishReason, RequestEvent } from '../../engine/messages.js'
import type { AnswerHead } from './answer-head.js'
import { type ChatLogprob, toChatLogprobs } from './logprobs.js'
import { toUsage, type Usage } from './usage.js'

export interface ChatCompletion {
  id: string
  object: 'chat.completion'
  created: number
  model: string
  system_fingerprint?: string
  choices: Array<{
    index: number
    message: { role: 'assistant'; content: string; refusal: null }
    logprobs: { content: ChatLogprob[]; refusal: null } | null
    finish_reason: FinishReason
  }>
  usage?: Usage
}

interface Choice {
  text: string
  logprobs: ChatLogprob[]
  reason: FinishReason
}

/** Takes a request's events in order; `failed` and refusing verdicts are its user's affair. */
export class ChatAnswer {
  readonly #choices: Choice[]
  #usage: Usage | undefined

  constructor(
    private readonly head: AnswerHead,
    choices: number,
    private readonly logprobs: boolean
  ) {
    this.#choices = Array.from({ length: choices }, () => ({ text: '', logprobs: [], reason: 'stop' }))
  }

  add(event: RequestEvent): void {
    if (event.type === 'text') {
      const choice = this.#choice(event.choice)
      choice.text += event.text
      if (event.logprobs) choice.logprobs.push(...toChatLogprobs(event.logprobs))
    } else if (event.type === 'finish') this.#choice(event.choice).reason = event.reason
    else if (event.type === 'end') this.#usage = toUsage(event.usage)
  }

  finish(): ChatCompletion {
    return {
      id: this.head.id,
      object: 'chat.completion',
      created: this.head.created,
      model: this.head.model,
      ...(this.head.systemFingerprint === null ? {} : { system_fingerprint: this.head.systemFingerprint }),
      choices: this.#choices.map((choice, index) => ({
        index,
        message: { role: 'assistant', content: choice.text, refusal: null },
        logprobs: this.logprobs ? { content: choice.logprobs, refusal: null } : null,
        finish_reason: choice.reason
      })),
      ...(this.#usage ? { usage: this.#usage } : {})
    }
  }

  #choice(index: number): Choice {
    const choice = this.#choices[index]
    if (!choice) throw new RangeError(`the engine sent choice ${index} of ${this.#choices.length}`)
    return choice
  }
}
