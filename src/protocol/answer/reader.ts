/** Reads the engine's text events as content, reasoning and tool calls, choice by choice. */
import type { FinishReason, RequestEvent, TokenLogprob } from '../../engine/messages.js'
import type { AnswerEvent, AnswerParser } from '../tools/events.js'
import { type AnswerOptions, createAnswerParser } from '../tools/parser.js'
import { ContentLogprobs } from './content-logprobs.js'

export interface ReadCall {
  id: string
  name: string
  /** JSON text, as far as it was written. */
  arguments: string
  /** It was written to its end. */
  complete: boolean
}

/** One choice, as far as it has been read. */
export interface ReadChoice {
  /** All that was generated (but for half a marker at its end). */
  raw: string
  content: string
  reasoning: string
  calls: ReadCall[]
  reason: FinishReason
  /** The stop text that ended it. */
  stop: string | null
  /** The tokens that `raw` was made of; left out: not known. */
  tokens?: readonly number[]
}

export type ReadEvent =
  | Exclude<AnswerEvent, { type: 'content' }>
  /** `logprobs`: of the tokens in `text`, where they were asked for. */
  | { type: 'content'; text: string; logprobs?: TokenLogprob[] }

type TextEvent = Extract<RequestEvent, { type: 'text' }>
type FinishEvent = Extract<RequestEvent, { type: 'finish' }>

interface State {
  choice: ReadChoice
  /** null: all text is content. */
  parser: AnswerParser | null
  logprobs: ContentLogprobs
  /** Tokens of text that the parser still holds back. */
  unread: number
  inReasoning: boolean
}

export interface ReaderOptions extends AnswerOptions {
  choices: number
  /** A choice is complete. */
  onFinish?: (choice: ReadChoice) => void
}

export class AnswerReader {
  /** Tokens of all choices that were thinking. */
  reasoningTokens = 0
  readonly #states: State[]

  constructor(private readonly options: ReaderOptions) {
    const plain = options.format === null && options.thinking === null
    this.#states = Array.from({ length: options.choices }, () => ({
      choice: { raw: '', content: '', reasoning: '', calls: [], reason: 'stop', stop: null },
      parser: plain ? null : createAnswerParser(options),
      logprobs: new ContentLogprobs(),
      unread: 0,
      inReasoning: false
    }))
  }

  get choices(): readonly ReadChoice[] {
    return this.#states.map(state => state.choice)
  }

  choice(index: number): ReadChoice {
    return this.#state(index).choice
  }

  text(event: TextEvent): ReadEvent[] {
    const state = this.#state(event.choice)
    state.choice.raw += event.text
    state.unread += event.tokens
    if (!state.parser) {
      state.choice.content += event.text
      // Text may be withheld while it could become a stop text.
      if (event.text === '' && !event.logprobs?.length) return []
      return [{ type: 'content', text: event.text, logprobs: event.logprobs }]
    }
    state.logprobs.add(event.logprobs ?? [])
    return this.#take(state, state.parser.push(event.text))
  }

  /** What was held back comes out; the choice is complete then. */
  finish(event: FinishEvent): ReadEvent[] {
    const state = this.#state(event.choice)
    const last = state.parser?.end(event.reason !== 'stop' || event.stop !== null) ?? []
    const { raw } = state.choice
    const cutBehindCall = event.reason === 'length' && state.choice.calls.length > 0
    const events = this.#take(state, cutBehindCall ? withoutHalfMarker(state.choice, last) : last)
    if (state.inReasoning) this.reasoningTokens += state.unread
    state.choice.reason = event.reason
    state.choice.stop = event.stop
    // Half a character has been replaced.
    if (event.tokens && state.choice.raw === raw && !raw.endsWith('\ufffd'))
      state.choice.tokens = event.tokens
    this.options.onFinish?.(state.choice)
    return events
  }

  #take(state: State, events: AnswerEvent[]): ReadEvent[] {
    const first = events[0]
    if (first) {
      // Tokens that were held back belong to what they turn out to be.
      state.inReasoning = first.type === 'reasoning'
      if (state.inReasoning) this.reasoningTokens += state.unread
      state.unread = 0
      state.inReasoning = events.at(-1)?.type === 'reasoning'
    }
    return events.map(event => this.#note(state, event))
  }

  #note({ choice, logprobs }: State, event: AnswerEvent): ReadEvent {
    switch (event.type) {
      case 'content': {
        choice.content += event.text
        const tokens = logprobs.take(event.text)
        return tokens.length > 0 ? { ...event, logprobs: tokens } : event
      }
      case 'reasoning':
        choice.reasoning += event.text
        return event
      case 'call':
        choice.calls[event.index] = { id: event.id, name: event.name, arguments: '', complete: false }
        return event
      case 'arguments': {
        const call = choice.calls[event.index]
        if (call) call.arguments += event.text
        return event
      }
      case 'callEnd': {
        const call = choice.calls[event.index]
        if (call) call.complete = event.complete
        return event
      }
    }
  }

  #state(index: number): State {
    const state = this.#states[index]
    if (!state) throw new RangeError(`the engine sent choice ${index} of ${this.#states.length}`)
    return state
  }
}

/** Cut off behind a call, what was held back is half a marker: nothing that was said, or should be given back. */
function withoutHalfMarker(choice: ReadChoice, events: AnswerEvent[]): AnswerEvent[] {
  const half = events.map(event => (event.type === 'content' ? event.text : '')).join('')
  if (half !== '') choice.raw = choice.raw.slice(0, choice.raw.lastIndexOf(half))
  return events.filter(({ type }) => type !== 'content')
}
