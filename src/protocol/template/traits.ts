/**
 * What a chat template can stand, found out by rendering made-up conversations once. Templates are programs that were
 * written against Python's Jinja and one client's habits; a guess that fails on them costs a request.
 */
import type { TemplateMessage, TemplateTool, TemplateToolCall } from './types.js'

export type Render = (variables: Record<string, unknown>) => string

export interface TemplateTraits {
  /** What to pass as `tools` when there are none: most want the variable absent, a few demand a value. */
  noTools: 'absent' | unknown[] | null | false
  /** `merge`: the template refuses or drops system messages; their text goes into the first user turn. */
  systemRole: 'native' | 'merge'
  /** `parts`: the template shows only content given as an array of parts. */
  content: 'text' | 'parts'
  /** Most templates write tool call arguments out of an object, a few want OpenAI's JSON text. */
  toolArguments: 'object' | 'text'
}

const userProbe = 'octavo-probe-user'
const systemProbe = 'octavo-probe-system'
const argumentProbe = 'octavo-probe-argument'

const user: TemplateMessage = { role: 'user', content: userProbe }
const system: TemplateMessage = { role: 'system', content: systemProbe }

export function findTraits(render: Render): TemplateTraits {
  const traits: TemplateTraits = {
    noTools: 'absent',
    systemRole: 'native',
    content: 'text',
    toolArguments: 'object'
  }
  const shows = (text: string, messages: unknown[], candidate: TemplateTraits) =>
    attempt(render, messages, candidate)?.includes(text) === true

  for (const content of ['text', 'parts'] as const) {
    const noTools = (['absent', [], null, false] as const).find(noTools =>
      shows(userProbe, [asContent(user, content)], { ...traits, noTools: noTools as never })
    )
    if (noTools === undefined) continue
    traits.content = content
    traits.noTools = noTools as TemplateTraits['noTools']
    break
  }
  const withSystem = [system, user].map(message => asContent(message, traits.content))
  if (!shows(systemProbe, withSystem, traits)) traits.systemRole = 'merge'
  const withCall = (text: boolean) =>
    [user, calling(text), toolResult, user].map(message => asContent(message, traits.content))
  if (!shows(argumentProbe, withCall(false), traits) && shows(argumentProbe, withCall(true), traits)) {
    traits.toolArguments = 'text'
  }
  return traits
}

/**
 * Whether the template shows tools, calls and their results to the model. One that does not, or that cannot be rendered
 * with them, gets them as text.
 */
export function showsTools(render: Render, traits: TemplateTraits): boolean {
  const messages = [user, calling(traits.toolArguments === 'text'), toolResult].map(message =>
    asContent(message, traits.content)
  )
  const text = attempt(render, messages, traits, [toolProbe])
  const told = [toolProbe.function.name, argumentProbe, toolResult.content]
  return told.every(part => text?.includes(part) === true)
}

const toolProbe: TemplateTool = {
  type: 'function',
  function: {
    name: 'probe',
    // What tools may leave out is left out: some templates stumble over that.
    parameters: { type: 'object', properties: { value: { type: 'string' } } }
  }
}

const toolResult: TemplateMessage = {
  role: 'tool',
  name: 'probe',
  tool_call_id: 'probe0000',
  content: 'octavo-probe-result'
}

function calling(text: boolean): TemplateMessage {
  const call = { value: argumentProbe }
  const toolCall: TemplateToolCall = {
    id: 'probe0000',
    type: 'function',
    function: { name: 'probe', arguments: text ? JSON.stringify(call) : call }
  }
  return { role: 'assistant', content: '', tool_calls: [toolCall] }
}

/** The message with its content in the form that the template reads. */
export function asContent(message: TemplateMessage, form: TemplateTraits['content']): unknown {
  if (form === 'text') return message
  return { ...message, content: [{ type: 'text', text: message.content }] }
}

function attempt(
  render: Render,
  messages: unknown[],
  traits: TemplateTraits,
  tools?: TemplateTool[]
): string | undefined {
  const given = tools ?? (traits.noTools === 'absent' ? undefined : traits.noTools)
  try {
    return render({
      messages,
      add_generation_prompt: true,
      ...(given === undefined ? {} : { tools: given })
    })
  } catch {
    return undefined
  }
}
