/** Applying a token mask to logits. */
import { HEADER } from './protocol.js'

/**
 * Writes -Infinity where the mask has a 0. Words that are all ones or all zeros, which most are, go 32 tokens at a
 * time, and neighbouring zero words as one fill. Bits beyond the vocabulary are not looked at.
 * @param logits one float per token of the vocabulary.
 * @param state HEADER words, then the mask.
 */
export function applyMask(logits: Float32Array, state: Int32Array): void {
  const words = state.length
  for (let at = HEADER; at < words; ) {
    const word = state[at]!
    if (word === -1) {
      at++
      continue
    }
    const begin = (at - HEADER) << 5
    if (word === 0) {
      do at++
      while (at < words && state[at] === 0)
      logits.fill(Number.NEGATIVE_INFINITY, begin, (at - HEADER) << 5)
      continue
    }
    // Inside a text one or two tokens of a word are forbidden: only those are visited.
    let forbidden = ~word & (logits.length - begin >= 32 ? -1 : (1 << (logits.length - begin)) - 1)
    while (forbidden !== 0) {
      const lowest = forbidden & -forbidden
      logits[begin + 31 - Math.clz32(lowest)] = Number.NEGATIVE_INFINITY
      forbidden ^= lowest
    }
    at++
  }
}

export function maskAllows(state: Int32Array, token: number): boolean {
  return ((state[HEADER + (token >> 5)]! >>> (token & 31)) & 1) === 1
}
