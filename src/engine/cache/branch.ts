import { TokenList } from '../token-list.js'

/**
 * A part of a branch with one history of use: positions from the previous entry's end (or the branch's start) to
 * `end`. Eviction takes entries from a branch's end; they may be cut at any token.
 */
export interface Entry {
  end: number
  /** Milliseconds of the caller's clock. */
  lastUsed: number
  /** A prefix worth keeping: the end of system and tools, or of a user turn. */
  anchor: boolean
}

/**
 * A run of cached tokens from the point where it leaves its parent to a leaf, kept alive by one sequence id:
 *
 *     root ──[0 ··········· 70 ········· 120)            branch A, sequence 3
 *                            └──[70 ··········· 200)      branch B, sequence 5, start 70
 *                                        └──[140 ·· 180)  branch C, sequence 9, start 140
 *
 * A path is [0,70) of A, [70,140) of B, [140,180) of C. Splitting a run needs no further id, since any part of it is a
 * range of positions: ids in use = number of leaves, not of radix nodes.
 */
export class Branch {
  readonly entries: Entry[] = []
  /** Branches that leave this one, by position and first token. */
  readonly children = new Map<number, Map<number, Branch>>()
  private readonly tokens = new TokenList()
  private readonly pins = new Map<object, number>()
  private highestPin = 0
  /** A second sequence id that holds the same cells, see PrefixCache; -1 for none. */
  twin = -1

  constructor(
    /** Requests with another salt never get here. */
    readonly salt: string,
    /** null for a root, which holds no tokens. */
    public parent: Branch | null,
    readonly start: number,
    /** The sequence id that holds the cells; -1 for a root. */
    readonly sequence: number
  ) {
    this.highestPin = start
  }

  get end(): number {
    return this.start + this.tokens.length
  }

  get length(): number {
    return this.tokens.length
  }

  /** The token at an absolute position, -1 outside [start, end). */
  tokenAt(position: number): number {
    return position < this.start ? -1 : this.tokens.at(position - this.start)
  }

  /** Length of the common run of this branch and `tokens`, from the absolute position `from` up to `limit`. */
  matchFrom(tokens: TokenList, from: number, limit: number): number {
    const stop = Math.min(this.end, limit, tokens.length)
    const mine = this.tokens.view()
    const theirs = tokens.view()
    let position = from
    while (position < stop && mine[position - this.start] === theirs[position]) position++
    return position - from
  }

  /** Appends the tokens at absolute positions [end, to) as one entry. */
  append(tokens: TokenList, to: number, lastUsed: number, anchor: boolean): void {
    const last = this.entries.at(-1)
    const from = this.end
    this.tokens.append(tokens, from, to)
    // A prompt arrives in chunks: chunks of one prompt form one entry while nobody has cut between them.
    if (last && !anchor && !last.anchor && !this.children.has(from) && this.highestPin < from) {
      last.end = to
      last.lastUsed = lastUsed
    } else {
      this.entries.push({ end: to, lastUsed, anchor })
    }
  }

  /** Forgets the tokens from the absolute position `end` on. */
  truncate(end: number): void {
    this.tokens.truncate(end - this.start)
    while (this.entries.length > 0 && this.entryStart(this.entries.length - 1) >= end) this.entries.pop()
    const last = this.entries.at(-1)
    if (last) last.end = Math.min(last.end, end)
  }

  /** Takes over the tokens of a branch that starts where this one ends. */
  absorb(next: Branch): void {
    this.tokens.append(next.tokens, 0, next.tokens.length)
    this.entries.push(...next.entries)
  }

  entryStart(index: number): number {
    return index === 0 ? this.start : (this.entries[index - 1]?.end ?? this.start)
  }

  /** Makes `position` a border between entries. */
  split(position: number): void {
    const index = this.entries.findIndex(entry => entry.end > position)
    const entry = this.entries[index]
    if (!entry || this.entryStart(index) >= position) return
    this.entries.splice(index, 0, { end: position, lastUsed: entry.lastUsed, anchor: false })
  }

  /** Marks everything up to `position` as used now. */
  touch(position: number, now: number): void {
    for (let i = 0; i < this.entries.length; i++) {
      const entry = this.entries[i]
      if (!entry || this.entryStart(i) >= position) break
      entry.lastUsed = now
    }
  }

  child(position: number, token: number): Branch | undefined {
    return this.children.get(position)?.get(token)
  }

  addChild(child: Branch, firstToken: number): void {
    this.split(child.start)
    let siblings = this.children.get(child.start)
    if (!siblings) {
      siblings = new Map()
      this.children.set(child.start, siblings)
    }
    siblings.set(firstToken, child)
  }

  removeChild(child: Branch, firstToken: number): void {
    const siblings = this.children.get(child.start)
    siblings?.delete(firstToken)
    if (siblings?.size === 0) this.children.delete(child.start)
  }

  /** Somebody uses [start, position): it must not be evicted. One pin per owner; a later one replaces it. */
  pin(owner: object, position: number): void {
    this.pins.set(owner, position)
    if (position > this.highestPin) this.highestPin = position
  }

  unpin(owner: object): void {
    if (!this.pins.delete(owner)) return
    this.highestPin = Math.max(this.start, ...this.pins.values())
  }

  /** Cells that somebody is attached to: [start, pinnedEnd). */
  get pinnedEnd(): number {
    return this.highestPin
  }

  /** Where eviction of this branch alone must stop: the last child or pin. */
  get protectedEnd(): number {
    let end = this.highestPin
    for (const position of this.children.keys()) if (position > end) end = position
    return end
  }
}
