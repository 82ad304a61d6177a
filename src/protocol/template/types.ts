/** A conversation as chat templates expect it: text instead of parts, arguments as objects instead of JSON text. */
import type { Thinking } from '../../engine/constraint/thinking.js'
import type { ToolFormat } from '../../engine/constraint/tool-syntax.js'

export interface TemplateToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: unknown }
}

export interface TemplateMessage {
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: string
  name?: string
  reasoning_content?: string
  tool_calls?: TemplateToolCall[]
  tool_call_id?: string
  /** An assistant turn as the model itself wrote it, where that is remembered. Templates never see it. */
  written?: WrittenTurn
}

/** What a model generated, and the end of the prompt that it followed. */
export interface WrittenTurn {
  lead: string
  text: string
  /** What the text was made of; null: not known. */
  tokens: Int32Array | null
}

/** A part of a prompt whose tokens are known. */
export interface DrawnText {
  /** Offsets in UTF-16 units. */
  start: number
  end: number
  tokens: Iterable<number>
}

export interface TemplateTool {
  type: 'function'
  function: { name: string; description?: string; parameters?: unknown; strict?: boolean | null }
}

export interface TemplateInput {
  messages: TemplateMessage[]
  /** Empty: the template does not hear of tools at all. */
  tools: TemplateTool[]
  /** Further variables; they never replace the template's own (messages, tools, ...). */
  variables: Record<string, unknown>
}

export interface RenderedPrompt {
  text: string
  /** False when the text begins with the BOS token already. */
  addSpecial: boolean
  /** Offsets in UTF-16 units after the system and tools part, and after user turns; ascending. */
  anchors: number[]
  /** Turns that stand there as the model drew them, ascending. */
  drawn: DrawnText[]
  /** How the model writes tool calls, and whether it thinks, after this prompt. */
  toolFormat: ToolFormat
  thinking: Thinking | null
  /** How many assistant turns of the history stand there as the template writes them, not as the model wrote them. */
  rewritten: number
}
