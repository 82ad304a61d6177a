/** Reads Prometheus' text format, strictly. */
export function exposition(text: string): { types: Map<string, string>; values: Map<string, number> } {
  const types = new Map<string, string>()
  const values = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line)
    if (type) {
      if (types.has(type[1]!)) throw new Error(`twice: ${type[1]}`)
      types.set(type[1]!, type[2]!)
      continue
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$/.exec(line)
    if (!sample) throw new Error(`not a sample: ${line}`)
    const value = sample[3] === '+Inf' ? Number.POSITIVE_INFINITY : Number(sample[3])
    if (Number.isNaN(value)) throw new Error(`not a number: ${line}`)
    const key = sample[1]! + labelsOf(sample[2] ?? '')
    if (values.has(key)) throw new Error(`twice: ${key}`)
    values.set(key, value)
  }
  return { types, values }
}

/** In one order, whatever the order they were written in. */
function labelsOf(text: string): string {
  const labels = [...text.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, name, value]) => `${name}="${value}"`)
  return labels.length === 0 ? '' : `{${labels.sort().join(',')}}`
}

/** Sum of all series of a metric whose labels contain all of `labels`. */
export function total(text: string, name: string, ...labels: string[]): number {
  let sum = 0
  for (const [key, value] of exposition(text).values) {
    if (key !== name && !key.startsWith(`${name}{`)) continue
    if (labels.every(label => key.includes(label))) sum += value
  }
  return sum
}
