/** From a conversation, in no protocol's words, to the engine's request and to how its answer is read. Pure. */
import type { SamplerParams } from '../engine/backend.js'
import type { ConstraintInput } from '../engine/constraint/constraint.js'
import type { Thinking } from '../engine/constraint/thinking.js'
import type { Constraint, GenerationRequest } from '../engine/messages.js'
import type { DemandedJson } from './answer/demanded-json.js'
import { type BrokenCall, checkFinishedCalls } from './answer/finished-calls.js'
import type { ReadChoice } from './answer/reader.js'
import type { TurnMemory } from './answer/turn-memory.js'
import { promptSegments } from './template/segments.js'
import type { RenderedPrompt, TemplateInput } from './template/types.js'
import type { AnswerOptions } from './tools/parser.js'

/** Who asks. Decides what caches are shared and whose turn it is. */
export interface Caller {
  /** Part of every cache key; '' when all callers share (no keys configured). */
  salt: string
  /** API key (hashed) or address. */
  tenant: string
}

export interface ConversationContext {
  caller: Caller
  /** Token ids are below it. */
  vocabularySize: number
  /** The model's chat template; throws `template_error`. */
  render(input: TemplateInput): RenderedPrompt
  /** How earlier turns of this model were written. Left out: history is rendered as the template has it. */
  turns?: {
    memory: TurnMemory
    /** Names the model and its vocabulary. */
    model: string
    /** Prompts may be put together of texts and tokens: a text is read alike wherever it stands. */
    tokens: boolean
  }
  /** Told of calls that break their tool's schema and are given to the client all the same. */
  onBrokenCall?(call: BrokenCall): void
}

/** Which of the tools in the prompt may be called. */
export interface ToolCalling {
  tools: Array<{ name: string; parameters: unknown; strict?: boolean }>
  /** `auto`, `required`, or the name of the one tool that must be called. */
  choice: 'auto' | 'required' | string
  /** Several calls in one answer. */
  parallel: boolean
}

export interface Conversation {
  input: TemplateInput
  /** null: no tool can be called. */
  calling: ToolCalling | null
  /** The beginning of the answer, put in the model's mouth. */
  prefill?: string
  /** What the answer must be beside tool calls. */
  constraint: Exclude<Constraint, { type: 'tools' }> | null
  sampling: SamplerParams
  maxTokens: number | null
  choices: number
  stop: string[]
  ignoreEndOfText: boolean
  logprobs: number | null
  cachePrompt: boolean
  /** The client's own part of the cache key. */
  cacheSalt: string | null
  /** The client asked for a repeatable answer. */
  reproducible: boolean
}

export interface GenerationPlan {
  request: GenerationRequest
  /** How the answer is read. */
  reading: AnswerOptions
  demanded: DemandedJson
  /** Assistant turns of the history that could not be given back as the model wrote them. */
  rewritten: number
  /**
   * To be told of every complete choice.
   * @throws ApiError constraint_failed
   */
  onFinish(choice: ReadChoice): void
}

/** @throws ApiError template_error */
export function planGeneration(conversation: Conversation, context: ConversationContext): GenerationPlan {
  const { input, calling, sampling } = conversation
  const salt = saltOf(context.caller, conversation.cacheSalt)
  const { turns } = context
  const recalled = turns?.memory.recall(`${turns.model}\0${salt}`, input.messages)
  const rendered = context.render(recalled ? { ...input, messages: recalled.messages } : input)
  const { toolFormat } = rendered
  const prefill = conversation.prefill ?? ''
  const thinking = prefill === '' ? rendered.thinking : behindPrefill(rendered.thinking)
  const text = rendered.text + prefill
  const reading: AnswerOptions = {
    format: calling ? toolFormat : null,
    thinking,
    ...(calling ? { tools: calling.tools } : {})
  }
  const request: GenerationRequest = {
    prompt: promptSegments(rendered, prefill),
    maxTokens: conversation.maxTokens,
    choices: conversation.choices,
    sampling,
    stop: conversation.stop,
    ignoreEndOfText: conversation.ignoreEndOfText,
    // The markers of calls and of thinking are control tokens in many vocabularies.
    emitSpecial: calling !== null || thinking !== null,
    logprobs: conversation.logprobs,
    constraint: toConstraint(conversation, toolFormat, thinkingAhead(thinking, text)),
    ...(turns?.tokens ? { tellTokens: true } : {}),
    cachePrompt: conversation.cachePrompt,
    salt,
    tenant: context.caller.tenant,
    priority: 0,
    reproducible: conversation.reproducible && sampling.temperature === 0,
    deadlines: { queue: null, firstToken: null, total: null }
  }
  const onFinish = (choice: ReadChoice) => {
    if (recalled && !conversation.prefill) turns?.memory.remember(recalled.key, rendered.text, choice)
    for (const call of calling ? checkFinishedCalls(calling.tools, choice) : []) context.onBrokenCall?.(call)
  }
  return { request, reading, demanded: demandedJson(conversation), rewritten: rendered.rewritten, onFinish }
}

/** An answer that is gone on with does not begin with thinking, and a blank at its beginning belongs to it. */
function behindPrefill(thinking: Thinking | null): Thinking | null {
  return thinking?.kind === 'tags' && !thinking.opened ? null : thinking
}

/** null: the prompt has closed the thinking already, so none may come before what is demanded. */
function thinkingAhead(thinking: Thinking | null, prompt: string): Thinking | null {
  const closed = thinking?.kind === 'tags' && prompt.trimEnd().endsWith(thinking.close)
  return closed ? null : thinking
}

function toConstraint(
  { calling, constraint }: Conversation,
  format: string,
  thinking: Thinking | null
): ConstraintInput | null {
  const thought = thinking ? { thinking } : {}
  if (calling) {
    const json = constraint !== null && constraint.type !== 'grammar' ? { otherwise: constraint } : {}
    return { type: 'tools', format, ...calling, ...json, ...thought }
  }
  // A client's own grammar is about the whole text.
  if (constraint === null || constraint.type === 'grammar') return constraint
  return { ...constraint, ...thought }
}

function demandedJson({ constraint }: Conversation): DemandedJson {
  if (constraint?.type === 'json_object') return 'object'
  return constraint?.type === 'json_schema' ? { schema: constraint.schema } : null
}

/** Both parts keep their own field, so that no choice of one can imitate another caller's. */
export function saltOf(caller: Caller, cacheSalt: string | null): string {
  if (cacheSalt === null || cacheSalt === '') return caller.salt
  return `${caller.salt}\0${cacheSalt}`
}
