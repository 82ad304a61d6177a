import type { TokenLogprob } from '../../engine/messages.js'

/** OpenAI's ChatCompletionTokenLogprob. */
export interface ChatLogprob {
  token: string
  logprob: number
  bytes: number[]
  top_logprobs: Array<{ token: string; logprob: number; bytes: number[] }>
}

/** `token` is for reading (half a character shows as U+FFFD); `bytes` join to the text. */
export function toChatLogprobs(logprobs: TokenLogprob[]): ChatLogprob[] {
  return logprobs.map(entry => ({
    ...toEntry(entry),
    top_logprobs: entry.top.map(toEntry)
  }))
}

function toEntry(entry: { bytes: number[]; logprob: number }) {
  return {
    token: Buffer.from(entry.bytes).toString('utf8'),
    logprob: finite(entry.logprob),
    bytes: entry.bytes
  }
}

/** JSON has no -Infinity; OpenAI writes -9999 for a token that is very unlikely. */
function finite(logprob: number | null): number {
  return logprob === null || !Number.isFinite(logprob) ? -9999 : Math.min(0, logprob)
}
