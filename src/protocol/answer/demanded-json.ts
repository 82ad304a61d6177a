import { validateFinished } from '../../engine/constraint/validate.js'
import { ApiError } from '../errors.js'
import type { ReadChoice } from './reader.js'

/** The JSON that a request demands; null: none is demanded. */
export type DemandedJson = { schema: unknown } | 'object' | null

/**
 * The last word on an answer that had to be JSON. An answer that was cut off, or that calls tools, is not judged.
 * @throws ApiError constraint_failed
 */
export function checkDemandedJson(demanded: DemandedJson, choice: ReadChoice): void {
  if (demanded === null || choice.reason !== 'stop' || choice.stop !== null || choice.calls.length > 0) return
  const finished = validate(demanded, choice.content)
  if (!finished.ok) throw new ApiError('constraint_failed', { details: { reason: finished.message } })
}

function validate(demanded: Exclude<DemandedJson, null>, text: string): ReturnType<typeof validateFinished> {
  try {
    return validateFinished(demanded === 'object' ? { type: 'object' } : demanded.schema, text)
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) }
  }
}
