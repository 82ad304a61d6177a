import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { UsageError } from '../config/errors.js'

/** Body of a warm-up request, and the model it is for. */
export interface Warmup {
  model: string
  body: Record<string, unknown>
}

/** @throws UsageError */
export function readWarmup(file: string): Warmup[] {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new UsageError(`--warmup: ${file} cannot be read as JSON (${(error as Error).message})`)
  }
  return [content].flat().map(entry => {
    if (typeof entry !== 'object' || entry === null || !('messages' in entry || 'prompt' in entry)) {
      throw new UsageError(
        `--warmup: ${file} must hold an object with messages or prompt, or an array of these`
      )
    }
    const { model = 'default', ...body } = entry as Record<string, unknown>
    return { model: String(model), body }
  })
}

/**
 * Computes prompts before the first client asks. Each key has a cache of its own, so each key warms up. What fails is
 * logged, and does not keep the server from serving.
 */
export async function warmUp(
  app: FastifyInstance,
  warmups: readonly Warmup[],
  apiKeys: readonly string[],
  logger: Logger
): Promise<void> {
  const callers = apiKeys.length === 0 ? [{}] : apiKeys.map(key => ({ 'x-api-key': key }))
  for (const { model, body } of warmups) {
    for (const headers of callers) {
      const url = `/v1/models/${encodeURIComponent(model)}/warmup`
      const reply = await app.inject({ method: 'POST', url, headers, payload: body })
      if (reply.statusCode === 200) logger.info(reply.json(), 'warmed up')
      else logger.warn({ model, status: reply.statusCode, answer: reply.json() }, 'warm-up failed')
    }
  }
}
