import type { ToolCalling } from '../conversation.js'
import { ApiError } from '../errors.js'
import { checkJson } from './demanded-json.js'
import type { ReadChoice } from './reader.js'

/** A call that its tool's schema does not allow. */
export interface BrokenCall {
  name: string
  message: string
}

/**
 * The last word on the calls of an answer. Generation has held their schemas but for keywords that it cannot hold
 * (docs/constraints.md), which are refused beforehand where the tool is strict. Calls that were cut off are not judged.
 * @returns what is wrong with calls of tools that are not strict: they are the client's to judge
 * @throws ApiError constraint_failed for a tool that is
 */
export function checkFinishedCalls(tools: ToolCalling['tools'], choice: ReadChoice): BrokenCall[] {
  const broken: BrokenCall[] = []
  for (const call of choice.calls) {
    if (!call.complete) continue
    const tool = tools.find(({ name }) => name === call.name)
    const finished = tool
      ? checkJson(tool.parameters ?? { type: 'object' }, call.arguments)
      : { ok: false as const, message: 'there is no such tool' }
    if (finished.ok) continue
    if (tool?.strict) {
      const reason = `the call of '${call.name}': ${finished.message}`
      throw new ApiError('constraint_failed', { details: { reason } })
    }
    broken.push({ name: call.name, message: finished.message })
  }
  return broken
}
