/** Events of a chat request as one `chat.completion`. */
import type { RequestEvent, TokenLogprob } from '../../engine/messages.js'
import { checkDemandedJson, type DemandedJson } from '../answer/demanded-json.js'
import type { AnswerReader, ReadChoice, ReadEvent } from '../answer/reader.js'
import type { AnswerHead } from './answer-head.js'
import { type ChatLogprob, toChatLogprobs } from './logprobs.js'
import { toUsage, type Usage } from './usage.js'

export interface ChatToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

export interface ChatCompletionMessage {
  role: 'assistant'
  content: string | null
  refusal: null
  /** Thinking, as DeepSeek and llama.cpp name it; only where there is some. */
  reasoning_content?: string
  tool_calls?: ChatToolCall[]
  /** For clients that ask with `functions`. */
  function_call?: { name: string; arguments: string }
}

export type ChatFinishReason = 'stop' | 'length' | 'tool_calls' | 'function_call'

export interface ChatCompletion {
  id: string
  object: 'chat.completion'
  created: number
  model: string
  system_fingerprint?: string
  choices: Array<{
    index: number
    message: ChatCompletionMessage
    logprobs: { content: ChatLogprob[]; refusal: null } | null
    finish_reason: ChatFinishReason
  }>
  usage?: Usage
}

export interface ChatAnswerOptions {
  logprobs: boolean
  /** The client asked with `functions`: calls are told in the deprecated way. */
  legacyFunctions: boolean
  demanded: DemandedJson
}

/** Takes a request's events in order; `failed` and refusing verdicts are its user's affair. */
export class ChatAnswer {
  readonly #logprobs: TokenLogprob[][]
  #usage: Usage | undefined

  constructor(
    private readonly head: AnswerHead,
    private readonly reader: AnswerReader,
    private readonly options: ChatAnswerOptions
  ) {
    this.#logprobs = reader.choices.map(() => [])
  }

  /** @throws ApiError constraint_failed */
  add(event: RequestEvent): void {
    if (event.type === 'text') this.#keepLogprobs(event.choice, this.reader.text(event))
    else if (event.type === 'finish') {
      this.#keepLogprobs(event.choice, this.reader.finish(event))
      checkDemandedJson(this.options.demanded, this.reader.choice(event.choice))
    } else if (event.type === 'end') this.#usage = toUsage(event.usage, this.reader.reasoningTokens)
  }

  finish(): ChatCompletion {
    const { legacyFunctions, logprobs } = this.options
    return {
      id: this.head.id,
      object: 'chat.completion',
      created: this.head.created,
      model: this.head.model,
      ...(this.head.systemFingerprint === null ? {} : { system_fingerprint: this.head.systemFingerprint }),
      choices: this.reader.choices.map((choice, index) => ({
        index,
        message: toMessage(choice, legacyFunctions),
        logprobs: logprobs ? { content: toChatLogprobs(this.#logprobs[index] ?? []), refusal: null } : null,
        finish_reason: chatFinishReason(choice, legacyFunctions)
      })),
      ...(this.#usage ? { usage: this.#usage } : {})
    }
  }

  #keepLogprobs(choice: number, events: ReadEvent[]): void {
    if (!this.options.logprobs) return
    for (const event of events) {
      if (event.type === 'content') this.#logprobs[choice]?.push(...(event.logprobs ?? []))
    }
  }
}

function toMessage(choice: ReadChoice, legacyFunctions: boolean): ChatCompletionMessage {
  const { content, reasoning, calls } = choice
  const first = calls[0]
  return {
    role: 'assistant',
    content: content === '' && first ? null : content,
    refusal: null,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    ...(first && legacyFunctions ? { function_call: { name: first.name, arguments: first.arguments } } : {}),
    ...(first && !legacyFunctions ? { tool_calls: calls.map(toToolCall) } : {})
  }
}

function toToolCall(call: ReadChoice['calls'][number]): ChatToolCall {
  return { id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } }
}

/** There are calls, and the client can carry them out. */
function hasFinishedCalls({ calls }: ReadChoice): boolean {
  return calls.length > 0 && calls.every(call => call.complete)
}

/** An answer that was cut off is `length`, also in the middle of a call; at a stop text within a call it is `stop`. */
export function chatFinishReason(choice: ReadChoice, legacyFunctions: boolean): ChatFinishReason {
  if (choice.reason !== 'stop' || !hasFinishedCalls(choice)) return choice.reason
  return legacyFunctions ? 'function_call' : 'tool_calls'
}
