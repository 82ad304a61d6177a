import { type Finished, validateFinished } from '../../engine/constraint/validate.js'
import { ApiError } from '../errors.js'
import type { ReadChoice } from './reader.js'

/** The JSON that a request demands; null: none is demanded. */
export type DemandedJson = { schema: unknown } | 'object' | null

/**
 * A larger schema costs the server's event loop too much (100 properties: 20 to 40 ms): what was held while generating
 * has to do.
 */
const mostCharacters = 16 * 1024

/**
 * The last word on an answer that had to be JSON. An answer that was cut off, or that calls tools, is not judged.
 * @throws ApiError constraint_failed
 */
export function checkDemandedJson(demanded: DemandedJson, choice: ReadChoice): void {
  if (demanded === null || choice.reason !== 'stop' || choice.stop !== null || choice.calls.length > 0) return
  const finished = checkJson(demanded === 'object' ? { type: 'object' } : demanded.schema, choice.content)
  if (!finished.ok) throw new ApiError('constraint_failed', { details: { reason: finished.message } })
}

/** Whether a finished text is JSON, and valid against its schema. */
export function checkJson(schema: unknown, text: string): Finished {
  try {
    const small = JSON.stringify(schema).length <= mostCharacters
    return validateFinished(small ? schema : null, text)
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) }
  }
}
