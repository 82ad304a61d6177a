import { Template } from '@huggingface/jinja'
import type { ToolFormat } from '../../engine/constraint/tool-syntax.js'
import { sameTurn } from '../answer/same-turn.js'
import { ApiError } from '../errors.js'
import { detectThinking, detectToolFormat } from '../tools/detect.js'
import type { TypedTool } from '../tools/xml-value.js'
import { findAnchors } from './anchors.js'
import { chatMlTemplate } from './fallback.js'
import { mergeSystem } from './system.js'
import { toolsAsText } from './tools-as-text.js'
import { asContent, findTraits, showsTools, type TemplateTraits } from './traits.js'
import type { RenderedPrompt, TemplateInput, TemplateMessage, TemplateTool } from './types.js'
import { restoreWritten } from './written-turns.js'

export interface TemplateSource {
  /** Jinja text of `tokenizer.chat_template`; null: ChatML. */
  chatTemplate: string | null
  bosText: string
  eosText: string
}

function typed({ function: { name, parameters } }: TemplateTool): TypedTool {
  return { name, parameters }
}

/** Characters rendered for anchors per request: about 5 ms of the event loop (200 kB take 3.5 to 4 ms). */
const anchorBudget = 250_000

/** A model's chat template, parsed once. */
export class ChatTemplate {
  readonly traits: TemplateTraits
  /** How this model writes tool calls. */
  readonly toolFormat: ToolFormat
  readonly #template: Template
  readonly #source: TemplateSource

  /** @throws Error when the template cannot be parsed */
  constructor(source: TemplateSource) {
    this.#source = source
    this.#template = new Template(source.chatTemplate ?? chatMlTemplate)
    this.traits = findTraits(variables => this.#run(variables))
    const format = detectToolFormat(source.chatTemplate)
    this.toolFormat = showsTools(variables => this.#run(variables), this.traits) ? format : 'generic'
  }

  /** @throws ApiError template_error when the template refuses the conversation */
  render(given: TemplateInput): RenderedPrompt {
    const input = this.toolFormat === 'generic' ? toolsAsText(given) : given
    const messages = this.traits.systemRole === 'merge' ? mergeSystem(input.messages) : input.messages
    const render = (messages: TemplateMessage[], generationPrompt: boolean) =>
      this.#renderMessages(
        messages.map(message => this.#write(message)),
        input,
        generationPrompt
      )
    let text: string
    try {
      text = render(messages, true)
    } catch (error) {
      throw new ApiError('template_error', {
        param: 'messages',
        details: { reason: error instanceof Error ? error.message : String(error) },
        cause: error
      })
    }
    const anchors = findAnchors(
      messages,
      text,
      count => render(messages.slice(0, count), false),
      anchorBudget
    )
    const { bosText, chatTemplate } = this.#source
    const thinking = detectThinking(chatTemplate, text)
    const restored = restoreWritten(
      messages,
      text,
      marked => render(marked, true),
      (a, b) => sameTurn(a, b, { format: this.toolFormat, thinking, tools: input.tools.map(typed) })
    )
    return {
      text: restored.text,
      addSpecial: bosText === '' || !text.startsWith(bosText),
      anchors: anchors.map(restored.move),
      toolFormat: this.toolFormat,
      thinking,
      rewritten: restored.rewritten,
      drawn: restored.drawn
    }
  }

  #renderMessages(messages: unknown[], input: TemplateInput, generationPrompt: boolean): string {
    const { noTools } = this.traits
    const tools =
      input.tools.length > 0 ? { tools: input.tools } : noTools === 'absent' ? {} : { tools: noTools }
    const { tools: _, ...variables } = input.variables
    return this.#run({ ...variables, ...tools, messages, add_generation_prompt: generationPrompt })
  }

  /** `raise_exception` and `strftime_now` are the library's own; passing them makes it throw. */
  #run(variables: Record<string, unknown>): string {
    const { bosText, eosText } = this.#source
    return this.#template.render({ ...variables, bos_token: bosText, eos_token: eosText })
  }

  #write({ written: _, ...message }: TemplateMessage): unknown {
    if (this.traits.toolArguments === 'object' || !message.tool_calls) {
      return asContent(message, this.traits.content)
    }
    const calls = message.tool_calls.map(call => ({
      ...call,
      function: { ...call.function, arguments: JSON.stringify(call.function.arguments) }
    }))
    return asContent({ ...message, tool_calls: calls }, this.traits.content)
  }
}
