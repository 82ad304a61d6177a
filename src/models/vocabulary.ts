import type { ModelInfo } from '../engine/backend.js'
import type { EngineConfig } from '../engine/messages.js'
import type { Examined, StaticRefusal, VocabularyMethod } from '../vocabulary/messages.js'
import type { VocabularyService } from '../vocabulary/service.js'
import type { Vocabulary } from './types.js'

/** How long a request waits for what its model's vocabulary tells; after that the engine tells it. Milliseconds. */
const patienceMs = 3000

/** No tokenizer makes more tokens of a byte (a missing character of three bytes for a space), beside special ones. */
const mostTokensPerByte = 3
const specialTokens = 16

/**
 * A model's vocabulary, while its engine is not there.
 * @param known of an earlier load
 * @returns null when it cannot be had in time: the load will tell why
 */
export async function openVocabulary(
  service: VocabularyService,
  config: EngineConfig,
  known: ModelInfo | null
): Promise<Vocabulary | null> {
  const file = config.model
  const info = known ?? (await inTime(service.ask(file, 'open', null)))
  if (info === null) return null
  const limit = longest(config, info)
  return {
    info,
    limit,
    call: (method, params) => service.ask(file, method as VocabularyMethod & typeof method, params as never),
    async examine({ prompt, constraint, sampling: { logitBias } }) {
      const request: Examined = { prompt, constraint, sampling: { logitBias } }
      if (surelyFine(request, limit)) return null
      return inTime<StaticRefusal | null>(service.ask(file, 'examine', { request, limit }))
    }
  }
}

/** As the engine will have it: the library rounds the pool up to 256 cells. */
function longest({ contextCells }: EngineConfig, { trainingContext }: ModelInfo): number {
  const cells = Math.ceil((contextCells || trainingContext) / 256) * 256
  return trainingContext > 0 ? Math.min(cells, trainingContext) : cells
}

/** A short text need not be counted. */
function surelyFine({ prompt, constraint, sampling }: Examined, limit: number): boolean {
  if (constraint !== null || sampling.logitBias.length > 0) return false
  let most = specialTokens
  for (const segment of prompt) {
    if (segment.type === 'tokens') return false
    most += Buffer.byteLength(segment.text) * mostTokensPerByte
  }
  return most > specialTokens && most < limit
}

async function inTime<T>(work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>(resolve => {
    timer = setTimeout(resolve, patienceMs, null)
    timer.unref()
  })
  try {
    return await Promise.race([work.catch(() => null), late])
  } finally {
    clearTimeout(timer)
  }
}
