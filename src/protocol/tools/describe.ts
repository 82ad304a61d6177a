/** Telling a model about tools whose template does not. */

export interface ToolDescription {
  name: string
  description?: string | undefined
  parameters?: unknown
}

/**
 * Text for the system message. The order of tools and of keys is the client's, so that equal requests have equal
 * prompts.
 */
export function describeTools(tools: readonly ToolDescription[]): string {
  const lines = tools.map(({ name, description, parameters }) =>
    JSON.stringify({ type: 'function', function: { name, description, parameters } })
  )
  return [
    'You may call functions to help with the task. These are available, one JSON object a line:',
    '<tools>',
    ...lines,
    '</tools>',
    'To call one, write its name and arguments as JSON within <tool_call></tool_call> tags:',
    '<tool_call>',
    '{"name": "function name", "arguments": {"argument": "value"}}',
    '</tool_call>'
  ].join('\n')
}
