/** A growable list of token ids in one Int32Array. */
export class TokenList {
  private data: Int32Array
  private used: number

  constructor(initial: ArrayLike<number> = [], spare = 64) {
    this.data = new Int32Array(initial.length + spare)
    this.data.set(initial)
    this.used = initial.length
  }

  get length(): number {
    return this.used
  }

  /** @throws nothing: an index outside the list gives -1, which is no token. */
  at(index: number): number {
    return index < this.used ? (this.data[index] ?? -1) : -1
  }

  push(token: number): void {
    this.reserve(this.used + 1)
    this.data[this.used++] = token
  }

  /** Appends tokens [from, to) of another list. */
  append(other: TokenList, from: number, to: number): void {
    this.reserve(this.used + to - from)
    this.data.set(other.data.subarray(from, to), this.used)
    this.used += to - from
  }

  truncate(length: number): void {
    if (length < this.used) this.used = length
  }

  /** A view of the tokens [from, to); valid until the list grows. */
  view(from = 0, to = this.used): Int32Array {
    return this.data.subarray(from, Math.min(to, this.used))
  }

  private reserve(length: number): void {
    if (length <= this.data.length) return
    const grown = new Int32Array(Math.max(length, this.data.length * 2))
    grown.set(this.data.subarray(0, this.used))
    this.data = grown
  }
}

/** How many tokens two lists have in common at their start, at most `limit`. */
export function commonPrefix(a: TokenList, b: TokenList, limit = Number.POSITIVE_INFINITY): number {
  const length = Math.min(a.length, b.length, limit)
  const left = a.view()
  const right = b.view()
  let i = 0
  while (i < length && left[i] === right[i]) i++
  return i
}
