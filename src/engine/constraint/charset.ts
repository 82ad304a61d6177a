/**
 * Sets of Unicode code points as sorted, disjoint, inclusive ranges: [[0x30, 0x39], [0x41, 0x5a]].
 * Surrogates (U+D800..DFFF) are no characters and belong to no set.
 */
export type CharSet = ReadonlyArray<readonly [number, number]>

const LAST = 0x10ffff

/** Every character. */
export const ALL: CharSet = [
  [0, 0xd7ff],
  [0xe000, LAST]
]

export function charSet(ranges: Iterable<readonly [number, number]>): CharSet {
  const sorted = [...ranges].filter(([a, b]) => a <= b).sort((x, y) => x[0] - y[0])
  const merged: Array<[number, number]> = []
  for (const [a, b] of sorted) {
    const last = merged.at(-1)
    if (last && a <= last[1] + 1) last[1] = Math.max(last[1], b)
    else merged.push([a, b])
  }
  return merged
}

export function charsOf(text: string): CharSet {
  return charSet([...text].map(char => [char.codePointAt(0)!, char.codePointAt(0)!] as const))
}

export function union(...sets: CharSet[]): CharSet {
  return charSet(sets.flat())
}

export function intersect(a: CharSet, b: CharSet): CharSet {
  const both: Array<[number, number]> = []
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    const lo = Math.max(a[i]![0], b[j]![0])
    const hi = Math.min(a[i]![1], b[j]![1])
    if (lo <= hi) both.push([lo, hi])
    if (a[i]![1] < b[j]![1]) i++
    else j++
  }
  return both
}

/** The characters that are not in the set. */
export function complement(set: CharSet): CharSet {
  const rest: Array<[number, number]> = []
  let next = 0
  for (const [a, b] of set) {
    if (a > next) rest.push([next, a - 1])
    next = b + 1
  }
  if (next <= LAST) rest.push([next, LAST])
  return intersect(rest, ALL)
}

export function subtract(a: CharSet, b: CharSet): CharSet {
  return intersect(a, complement(b))
}
