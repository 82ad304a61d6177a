/** A conversation as chat templates expect it: text instead of parts, arguments as objects instead of JSON text. */

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
}
