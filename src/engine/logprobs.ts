import type { TokenLogprob } from './messages.js'

/** The `count` largest logits with their tokens, in falling order; equal logits by token. */
export function topTokens(logits: Float32Array, count: number): Array<{ token: number; logit: number }> {
  const top: Array<{ token: number; logit: number }> = []
  if (count === 0) return top
  let least = Number.NEGATIVE_INFINITY
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] as number
    if (top.length === count && logit <= least) continue
    let place = top.length
    while (place > 0 && (top[place - 1] as { logit: number }).logit < logit) place--
    top.splice(place, 0, { token, logit })
    if (top.length > count) top.pop()
    least = (top.at(-1) as { logit: number }).logit
  }
  return top
}

/** log of the sum of exp over all logits: logprob = logit - this. */
export function logNormalizer(logits: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY
  for (let i = 0; i < logits.length; i++) if ((logits[i] as number) > most) most = logits[i] as number
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i] as number) - most)
  return most + Math.log(sum)
}

/**
 * The model's own distribution (before temperature, penalties and bias), as OpenAI's `logprobs` gives it.
 * @param alternatives how many of the most likely tokens to list, 0..20.
 */
export function tokenLogprob(
  logits: Float32Array,
  token: number,
  alternatives: number,
  piece: (token: number) => Uint8Array
): TokenLogprob {
  const normalizer = logNormalizer(logits)
  const entry = (id: number, logit: number) => ({
    token: id,
    bytes: Array.from(piece(id)),
    logprob: Math.min(0, logit - normalizer)
  })
  return {
    ...entry(token, logits[token] as number),
    top: topTokens(logits, alternatives).map(each => entry(each.token, each.logit))
  }
}
