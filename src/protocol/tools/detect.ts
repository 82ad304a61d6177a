/** Which tool-call syntax and which thinking a chat template stands for, told by the markers in its text. */
import type { Thinking } from '../../engine/constraint/thinking.js'
import type { ToolFormat } from '../../engine/constraint/tool-syntax.js'

/**
 * @returns `generic` when the template shows no syntax of its own that we speak: tools then have to be described to the
 * model by `describeTools`.
 */
export function detectToolFormat(template: string | null): ToolFormat {
  const has = (text: string) => template?.includes(text) ?? false
  if (has('<|channel|>') && has('<|message|>') && has('functions.')) return 'harmony'
  if (has('<｜tool▁calls▁begin｜>')) return has('```json') ? 'deepseek' : 'deepseek-v3.1'
  if (has('[TOOL_CALLS]')) return has('[ARGS]') ? 'mistral-args' : 'mistral'
  if (has('<|tool_calls_section_begin|>')) return 'kimi'
  if (has('<minimax:tool_call>')) return 'minimax'
  if (has('<tool_call>')) return inToolCall(template!)
  if (has('<function=') && !has('<parameter=')) return 'function-tag'
  if (has('<|start_header_id|>') && has('"parameters"')) return 'llama3'
  return 'generic'
}

/** `<tool_call>` is used for JSON (Hermes, Qwen 2.5 and 3) and for several XML dialects. */
function inToolCall(template: string): ToolFormat {
  const has = (text: string) => template.includes(text)
  if (has('<arg_key>') && has('<arg_value>')) return 'glm'
  if (has('<function=') && has('<parameter=')) return 'qwen-coder'
  if (has('<arg_key>') || has('<parameter=') || has('<parameter name=')) return 'generic'
  return /"arguments\\?"/.test(template) ? 'hermes' : 'generic'
}

/** Whether the template itself tells the model about tools. */
export function rendersTools(template: string | null): boolean {
  return template !== null && /\btools\b/.test(template)
}

const TAGS: ReadonlyArray<readonly [open: string, close: string]> = [
  ['<think>', '</think>'],
  ['[THINK]', '[/THINK]'],
  ['<seed:think>', '</seed:think>'],
  ['<|START_THINKING|>', '<|END_THINKING|>'],
  ['<|inner_prefix|>', '<|inner_suffix|>']
]

/**
 * @param prompt the rendered prompt: its end tells whether thinking has been opened for the model.
 * @returns null: the model does not think.
 */
export function detectThinking(template: string | null, prompt: string): Thinking | null {
  if (template === null) return null
  if (detectToolFormat(template) === 'harmony') return { kind: 'channels' }
  const tail = prompt.trimEnd()
  for (const [open, close] of TAGS) {
    if (tail.endsWith(open)) return { kind: 'tags', open, close, opened: true }
    if (template.includes(close)) return { kind: 'tags', open, close, opened: false }
  }
  return null
}
