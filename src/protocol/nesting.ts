/** Deeper values overflow the stack of whoever walks through them: templates, JSON.stringify. */
export const mostLevels = 200

/** Whether a JSON value has more than `levels` objects and arrays inside of each other. Without recursion. */
export function nestedDeeper(value: unknown, levels = mostLevels): boolean {
  if (typeof value !== 'object' || value === null) return false
  let level: object[] = [value]
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > levels) return true
    const next: object[] = []
    for (const container of level) {
      for (const inner of Array.isArray(container) ? container : Object.values(container)) {
        if (typeof inner === 'object' && inner !== null) next.push(inner)
      }
    }
    level = next
  }
  return false
}
