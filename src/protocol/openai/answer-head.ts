import { randomUUID } from 'node:crypto'

/** What all parts of one answer have in common. */
export interface AnswerHead {
  id: string
  /** Unix seconds. */
  created: number
  /** The served model's id, whatever name the client used. */
  model: string
  /** null: left out (the specification takes a string or nothing). */
  systemFingerprint: string | null
}

/**
 * @param prefix OpenAI's kind of id, e.g. `chatcmpl`
 * @param fingerprint of the model, hex
 */
export function answerHead(prefix: string, model: string, fingerprint: string | undefined): AnswerHead {
  return {
    id: `${prefix}-${randomUUID().replaceAll('-', '')}`,
    created: Math.floor(Date.now() / 1000),
    model,
    systemFingerprint: fingerprint ? `fp_${fingerprint.slice(0, 10)}` : null
  }
}
