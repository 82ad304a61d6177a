/** Which tools a chat request shows to the model, and which of them may be called. */
import { ConstraintError } from '../../engine/constraint/errors.js'
import { boundSchema } from '../../engine/constraint/schema-bounds.js'
import type { ToolCalling } from '../conversation.js'
import { invalidValue, unsupportedValue } from '../errors.js'
import type { TemplateTool } from '../template/types.js'
import type { ChatRequest } from './schema/chat.js'
import type { ToolChoice } from './schema/tools.js'

export type ToolFields = Pick<
  ChatRequest,
  'tools' | 'tool_choice' | 'parallel_tool_calls' | 'functions' | 'function_call'
>

export interface ToolUse {
  /** In the prompt, in the client's order: both are part of the cached prefix, so no choice but `none` changes them. */
  tools: TemplateTool[]
  calling: ToolCalling | null
}

/** @throws ApiError for a tool choice that no tool can fulfil, and for tools that are not functions */
export function toToolUse(body: ToolFields): ToolUse {
  const tools = (body.tools ?? legacyTools(body)).map((tool, index): TemplateTool => {
    if (tool.type === 'function') return tool
    throw unsupportedValue(
      `tools.${index}.type`,
      `only tools of type 'function' can be called, not '${tool.type}'.`
    )
  })
  const choice = body.tool_choice ?? legacyChoice(body) ?? 'auto'
  // The deprecated way has room for one call.
  const parallel = body.tools ? body.parallel_tool_calls : false
  if (typeof choice === 'object' && choice.type === 'allowed_tools') {
    const { mode, tools: allowed } = choice.allowed_tools
    const callable = findAllowed(allowed, tools, 'tool_choice.allowed_tools.tools')
    return toolUse(tools, callable, mode, parallel)
  }
  return toolUse(tools, tools, nameOf(choice), parallel)
}

/** @param choice `none`, `auto`, `required` or a tool's name in an object */
export function toolUse(
  tools: TemplateTool[],
  callable: readonly TemplateTool[],
  choice: 'none' | 'auto' | 'required' | { name: string },
  parallel: boolean | null | undefined
): ToolUse {
  if (choice === 'none') return { tools: [], calling: null }
  tools.forEach(boundParameters)
  if (choice === 'required' && callable.length === 0) {
    throw invalidValue('tool_choice', "'required' needs 'tools'.")
  }
  if (typeof choice === 'object' && !callable.some(tool => tool.function.name === choice.name)) {
    throw invalidValue('tool_choice', `there is no tool named '${choice.name}' in 'tools'.`)
  }
  if (callable.length === 0) return { tools, calling: null }
  return {
    tools,
    calling: {
      tools: callable.map(({ function: { name, parameters, strict } }) => ({
        name,
        parameters: parameters ?? null,
        ...(strict === true ? { strict } : {})
      })),
      choice: typeof choice === 'object' ? choice.name : choice,
      parallel: parallel ?? true
    }
  }
}

/** Before the chat template walks through it. */
function boundParameters({ function: { parameters } }: TemplateTool, index: number): void {
  if (parameters === undefined || parameters === null) return
  try {
    boundSchema(parameters, 'parameters')
  } catch (error) {
    if (error instanceof ConstraintError) throw invalidValue(`tools.${index}`, `${error.message}.`)
    throw error
  }
}

/** @throws ApiError for a name that is not among the tools */
export function findAllowed(
  allowed: readonly object[],
  tools: readonly TemplateTool[],
  path: string
): TemplateTool[] {
  const names = allowed.map((entry, index) => {
    const { name, function: named } = entry as { name?: unknown; function?: { name?: unknown } }
    const wanted = named?.name ?? name
    if (tools.some(tool => tool.function.name === wanted)) return wanted
    throw invalidValue(`${path}.${index}`, "it must name a function that is in 'tools'.")
  })
  return tools.filter(tool => names.includes(tool.function.name))
}

function nameOf(choice: Exclude<ToolChoice, { type: 'allowed_tools' }>) {
  if (typeof choice === 'string') return choice as 'none' | 'auto' | 'required'
  return { name: choice.type === 'function' ? choice.function.name : choice.custom.name }
}

function legacyTools(body: ToolFields): NonNullable<ChatRequest['tools']> {
  return (body.functions ?? []).map(definition => ({ type: 'function', function: definition }))
}

function legacyChoice(body: ToolFields): ChatRequest['tool_choice'] {
  const call = body.function_call
  if (call === undefined || typeof call === 'string') return call
  return { type: 'function', function: { name: call.name } }
}
