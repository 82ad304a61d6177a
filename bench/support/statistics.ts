/**
 * The value below which a share `q` (0..1) of the samples lies, linear between neighbours ("type 7", what numpy does).
 * NaN for no samples.
 */
export function percentile(samples: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(samples).sort()
  if (sorted.length === 0) return Number.NaN
  const at = (sorted.length - 1) * Math.min(1, Math.max(0, q))
  const low = Math.floor(at)
  const high = Math.ceil(at)
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low)
}

export const median = (samples: ArrayLike<number>): number => percentile(samples, 0.5)

export function sum(samples: Iterable<number>): number {
  let total = 0
  for (const sample of samples) total += sample
  return total
}

export function max(samples: Iterable<number>): number {
  let largest = Number.NaN
  for (const sample of samples) if (!(sample <= largest)) largest = sample
  return largest
}

/**
 * The median of a[i] / b[i], where run i of both was taken side by side: what slows the machine for a while slows both,
 * so that a ratio is steadier than either figure. Rounds that one of the two has not are left out.
 */
export function medianRatio(a: readonly number[], b: readonly number[]): number {
  const ratios: number[] = []
  for (let i = 0; i < Math.min(a.length, b.length); i++) ratios.push(a[i]! / b[i]!)
  return median(ratios)
}

/** Time between neighbours, same unit. */
export function gaps(times: readonly number[]): number[] {
  const between: number[] = []
  for (let i = 1; i < times.length; i++) between.push(times[i]! - times[i - 1]!)
  return between
}
