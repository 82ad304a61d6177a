/** Reading it takes half a millisecond, more than a probe of /health or a short request should cost. */
const READ_EVERY = 1000

let known = { at: Number.NEGATIVE_INFINITY, bytes: 0 }

/** Resident memory of this process, bytes, at most a second old. */
export function residentBytes(): number {
  const now = performance.now()
  if (now - known.at >= READ_EVERY) known = { at: now, bytes: process.memoryUsage.rss() }
  return known.bytes
}
