/** Events of a completion request as streamed `text_completion`s. */
import type { PromptLogprob, RequestEvent } from '../../engine/messages.js'
import { type ApiError, openaiErrorBody } from '../errors.js'
import type { StreamEncoder } from '../stream-encoder.js'
import type { AnswerHead } from './answer-head.js'
import { completionHead } from './completion-answer.js'
import { echoedTokens, LogprobWriter } from './completion-logprobs.js'
import { toUsage } from './usage.js'

export interface CompletionStreamOptions {
  /** Text in front of each choice: its prompt with `echo`, otherwise ''. */
  echoes: string[]
  includeUsage: boolean
  logprobs: boolean
  /** Of the echoed prompts' tokens too. */
  promptLogprobs: boolean
  choicesPerPrompt: number
}

interface Prompt {
  tokens: PromptLogprob[]
  complete: boolean
  held: RequestEvent[]
}

/**
 * A chunk has the shape of a whole completion, except that `finish_reason` is null until the choice's last one: the
 * specification has no word for that, OpenAI's service does it, and clients rely on it.
 */
export class CompletionStreamEncoder implements StreamEncoder {
  /** Up to `"choices":[`. */
  readonly #head: string
  readonly #tail: string
  readonly #writers: LogprobWriter[]
  readonly #opened = new Set<number>()
  /** By prompt. */
  readonly #prompts = new Map<number, Prompt>()

  constructor(
    head: AnswerHead,
    private readonly options: CompletionStreamOptions
  ) {
    this.#head = `data: ${JSON.stringify(completionHead(head)).slice(0, -1)},"choices":[`
    this.#tail = ']}\n\n'
    this.#writers = options.echoes.map(echo => new LogprobWriter([...echo].length))
  }

  event(event: RequestEvent): string {
    switch (event.type) {
      case 'prompt':
        return this.#tell(event)
      case 'text': {
        if (this.#holds(event)) return ''
        // Text may be withheld while it could become a stop string.
        if (event.text === '' && !event.logprobs?.length) return ''
        const logprobs =
          this.options.logprobs && event.logprobs
            ? JSON.stringify(this.#writers[event.choice]?.write(event.logprobs))
            : 'null'
        return this.#open(event.choice) + this.#chunk(event.choice, event.text, logprobs, 'null')
      }
      case 'finish':
        if (this.#holds(event)) return ''
        return this.#open(event.choice) + this.#chunk(event.choice, '', 'null', `"${event.reason}"`)
      case 'end':
        return `${this.#usage(event)}data: [DONE]\n\n`
      default:
        return ''
    }
  }

  failure(error: ApiError): string {
    return `data: ${JSON.stringify(openaiErrorBody(error))}\n\n`
  }

  keepAlive(): string {
    return ': keep-alive\n\n'
  }

  #open(choice: number): string {
    if (this.#opened.has(choice)) return ''
    this.#opened.add(choice)
    const echo = this.options.echoes[choice] ?? ''
    if (echo === '') return ''
    const { tokens } = this.#promptOf(choice)
    if (tokens.length === 0) return this.#chunk(choice, echo, 'null', 'null')
    const logprobs = new LogprobWriter(0).write(echoedTokens(tokens, echo))
    return this.#chunk(choice, echo, JSON.stringify(logprobs), 'null')
  }

  #tell(event: Extract<RequestEvent, { type: 'prompt' }>): string {
    const prompt = this.#promptOf(event.prompt * this.options.choicesPerPrompt)
    prompt.tokens.push(...event.logprobs)
    if (!event.last) return ''
    prompt.complete = true
    return prompt.held
      .splice(0)
      .map(held => this.event(held))
      .join('')
  }

  /** A choice begins with its prompt: what comes before that is known waits. */
  #holds(event: RequestEvent & { choice: number }): boolean {
    if (!this.options.promptLogprobs) return false
    const prompt = this.#promptOf(event.choice)
    if (!prompt.complete) prompt.held.push(event)
    return !prompt.complete
  }

  #promptOf(choice: number): Prompt {
    const index = Math.floor(choice / this.options.choicesPerPrompt)
    const prompt = this.#prompts.get(index) ?? { tokens: [], complete: false, held: [] }
    this.#prompts.set(index, prompt)
    return prompt
  }

  #chunk(choice: number, text: string, logprobs: string, finish: string): string {
    const body = `{"text":${JSON.stringify(text)},"index":${choice},"logprobs":${logprobs},"finish_reason":${finish}}`
    return this.#head + body + this.#tail
  }

  #usage(event: Extract<RequestEvent, { type: 'end' }>): string {
    if (!this.options.includeUsage) return ''
    return `${this.#head}],"usage":${JSON.stringify(toUsage(event.usage))}}\n\n`
  }
}
