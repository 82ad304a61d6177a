import type { RequestUsage } from '../../engine/messages.js'
import { type PrefixSource, prefixSource } from '../prefix-source.js'

/** OpenAI's CompletionUsage. */
export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: { cached_tokens: number }
  completion_tokens_details: { reasoning_tokens: number }
  octavo_cache: PrefixSource
}

/**
 * Cached tokens are those of the prompt that were not computed, wherever they came from.
 * @param reasoningTokens of the completion tokens, those that were thinking
 */
export function toUsage(usage: RequestUsage, reasoningTokens = 0): Usage {
  const { resident, ram, disk } = usage.cached
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: { cached_tokens: resident + ram + disk },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
    octavo_cache: prefixSource(usage.cached)
  }
}
