/** Quantities as people read them. */

const steps = [
  { bytes: 2 ** 30, unit: 'GiB', digits: 1 },
  { bytes: 2 ** 20, unit: 'MiB', digits: 0 },
  { bytes: 2 ** 10, unit: 'KiB', digits: 0 }
]

export function size(bytes: number): string {
  const step = steps.find(({ bytes: least }) => bytes >= least)
  return step ? `${(bytes / step.bytes).toFixed(step.digits)} ${step.unit}` : `${bytes} B`
}

/** How long ago, in the largest unit of which there is at least one. @param ms of the past */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`
  return `${plural(Math.floor(seconds / 86_400), 'day')} ago`
}

export function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

export function plural(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** Columns as wide as their widest cell; `right` names the ones of numbers. */
export function columns(rows: readonly string[][], right: readonly number[] = []): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map(row => row[at]?.length ?? 0)))
  const line = (row: string[]) =>
    row
      .map((cell, at) => (right.includes(at) ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd()
  return rows.map(line).join('\n')
}
