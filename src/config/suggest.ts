/** `: did you mean --port?` for the nearest name, or '' when none is near. */
export function didYouMean(word: string, names: Iterable<string>): string {
  const name = nearest(word, names)
  return name === undefined ? '' : `: did you mean ${name}?`
}

/** The name that differs from the word by the fewest typing mistakes, if these are few for its length. */
export function nearest(word: string, names: Iterable<string>): string | undefined {
  let best: string | undefined
  let fewest = Math.min(3, Math.floor(word.length / 3)) + 1
  for (const name of names) {
    const mistakes = distance(word, name)
    if (mistakes < fewest) {
      best = name
      fewest = mistakes
    }
  }
  return best
}

/** Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours, each counted once. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1))
      if (a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1] && row > 1 && column > 1) {
        cost = Math.min(cost, beforeLast[column - 2]! + 1)
      }
      current.push(cost)
    }
    beforeLast = last
    last = current
  }
  return last[b.length]!
}
