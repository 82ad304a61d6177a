import type { Branch } from './branch.js'

/** An anchor counts as this many times younger than it is. */
export const ANCHOR_WORTH = 8

export interface EvictionCandidate {
  branch: Branch
  /** The cells [from, branch.end) may go. */
  from: number
  /** Milliseconds since it was used; an anchor's count for less. */
  age: number
}

export interface EvictionOrder {
  /** Branches that may be considered; default: all. */
  accept?: (branch: Branch) => boolean
  /** An anchor counts as this many times younger than it is. */
  anchorWorth?: number
}

/**
 * The coldest entry that may be evicted: at the end of a branch, with no child and no attached request in it. Least
 * recently used first; anchors (the end of system and tools, of a user turn) outlive tails of the same age.
 */
export function evictionCandidate(
  branches: Iterable<Branch>,
  now: number,
  { accept = () => true, anchorWorth = ANCHOR_WORTH }: EvictionOrder = {}
): EvictionCandidate | undefined {
  let best: EvictionCandidate | undefined
  let bestAge = -1
  for (const branch of branches) {
    const border = branch.protectedEnd
    if (branch.end <= border || !accept(branch)) continue
    const index = branch.entries.length - 1
    const entry = branch.entries[index]
    if (!entry) continue
    const age = (now - entry.lastUsed) / (entry.anchor ? anchorWorth : 1)
    if (age > bestAge) {
      bestAge = age
      best = { branch, from: Math.max(border, branch.entryStart(index)), age }
    }
  }
  return best
}
