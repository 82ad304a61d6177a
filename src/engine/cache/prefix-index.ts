import type { TokenList } from '../token-list.js'
import { Branch } from './branch.js'

/** A range of absolute positions on one branch. */
export interface PathSegment {
  branch: Branch
  from: number
  to: number
}

/**
 * A radix tree over token ids, kept as a tree of branches (see branch.ts), one root for each salt: requests with
 * different salts can never meet. Pure: it knows no cells, only tokens.
 */
export class PrefixIndex {
  private readonly roots = new Map<string, Branch>()
  /** All branches except roots. */
  readonly branches = new Set<Branch>()
  /** Tokens on all branches. */
  private tokens = 0

  get cells(): number {
    return this.tokens
  }

  root(salt: string): Branch {
    let root = this.roots.get(salt)
    if (!root) {
      root = new Branch(salt, null, 0, -1)
      this.roots.set(salt, root)
    }
    return root
  }

  /** The longest cached prefix of `tokens`, at most `limit` long, as segments that follow each other from 0. */
  match(salt: string, tokens: TokenList, limit: number): PathSegment[] {
    const root = this.roots.get(salt)
    return root ? this.matchFrom(root, 0, tokens, limit) : []
  }

  /** Continues a match from position `from` on `branch`. */
  matchFrom(branch: Branch, from: number, tokens: TokenList, limit: number): PathSegment[] {
    const path: PathSegment[] = []
    let current: Branch | undefined = branch
    let position = from
    while (current && position < limit) {
      const length = current.matchFrom(tokens, position, limit)
      if (length > 0) path.push({ branch: current, from: position, to: position + length })
      position += length
      if (position >= limit || position >= tokens.length) break
      current = current.child(position, tokens.at(position))
    }
    return path
  }

  /** Appends tokens [branch.end, to) to a branch. */
  extend(branch: Branch, tokens: TokenList, to: number, now: number, anchor: boolean): void {
    const before = branch.length
    branch.append(tokens, to, now, anchor)
    this.tokens += branch.length - before
  }

  /** A new branch for tokens [start, to) that leaves `parent` at `start`. */
  fork(
    parent: Branch,
    start: number,
    sequence: number,
    tokens: TokenList,
    to: number,
    now: number,
    anchor: boolean
  ): Branch {
    const branch = new Branch(parent.salt, parent, start, sequence)
    branch.append(tokens, to, now, anchor)
    parent.addChild(branch, tokens.at(start))
    this.branches.add(branch)
    this.tokens += branch.length
    return branch
  }

  /** Cuts a branch at `end`; one that becomes empty leaves the tree. The caller keeps children and pins out of the cut. */
  truncate(branch: Branch, end: number): void {
    const before = branch.length
    const first = branch.tokenAt(branch.start)
    branch.truncate(Math.max(end, branch.start))
    this.tokens -= before - branch.length
    if (branch.length === 0) this.remove(branch, first)
  }

  /** Joins a branch with a continuation nobody is attached to: `next` starts at `branch.end`. */
  merge(branch: Branch, next: Branch): void {
    branch.removeChild(next, next.tokenAt(next.start))
    branch.absorb(next)
    for (const siblings of next.children.values()) {
      for (const [token, child] of siblings) {
        child.parent = branch
        branch.addChild(child, token)
      }
    }
    this.branches.delete(next)
  }

  private remove(branch: Branch, firstToken: number): void {
    branch.parent?.removeChild(branch, firstToken)
    this.branches.delete(branch)
    if (this.roots.get(branch.salt)?.children.size === 0) this.roots.delete(branch.salt)
  }
}

/** All tokens from the root to the end of a branch, and where they are held. */
export function pathTo(branch: Branch): { tokens: Int32Array; path: PathSegment[] } {
  const path: PathSegment[] = []
  let to = branch.end
  for (let at: Branch | null = branch; at !== null && at.sequence !== -1; at = at.parent) {
    if (at.start < to) path.unshift({ branch: at, from: at.start, to })
    to = Math.min(to, at.start)
  }
  const tokens = new Int32Array(branch.end)
  for (const segment of path) {
    for (let position = segment.from; position < segment.to; position++) {
      tokens[position] = segment.branch.tokenAt(position)
    }
  }
  return { tokens, path }
}
