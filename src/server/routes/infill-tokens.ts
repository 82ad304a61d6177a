import type { ModelInfo } from '../../engine/backend.js'
import type { TokenizingEngine } from '../../models/types.js'
import { findInfillTokens, type InfillTokens } from '../../protocol/openai/infill.js'

const known = new WeakMap<ModelInfo, InfillTokens | null>()

/** The model's tokens for filling a gap, looked for once per loaded model; null when it has none. */
export async function infillTokensOf(
  info: ModelInfo,
  engine: TokenizingEngine
): Promise<InfillTokens | null> {
  const found = known.get(info)
  if (found !== undefined) return found
  const tokens = await findInfillTokens(text =>
    engine.call('tokenize', { text, addSpecial: false, parseSpecial: true })
  )
  known.set(info, tokens)
  return tokens
}
