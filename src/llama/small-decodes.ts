import type { Backend } from '../engine/backend.js'

/** Rows of the batches that are measured; for sizes in between the costs lie on a line. */
const smallSizes = [1, 2, 3, 4, 5, 8]
/** Each size is computed so often in a row, twice; the shortest time counts. All is compared with one row. */
const runsOf = (rows: number) => (rows === 1 ? 8 : 3)
const rounds = 2
/** Models this slow are bound by reading their weights, which several rows share; and measuring would take long. */
const slowMs = 10

/** Sequences compute a few tokens each, one to eight of them at a time. undefined: more at a time are better. */
export async function measureSmallDecodes(backend: Backend): Promise<number[] | undefined> {
  const { sequenceIds, batchRows, memory } = backend.capabilities
  const most = smallSizes.at(-1)!
  if (backend.info.device !== 'CPU' || Math.min(sequenceIds, batchRows) < most) return undefined
  if (memory === 'recurrent' || memory === 'hybrid') return undefined
  const costs = new Map<number, number>()
  const next = new Array<number>(most).fill(0)
  const decode = async (rows: number): Promise<number> => {
    backend.batch.clear()
    for (let sequence = 0; sequence < rows; sequence++) {
      const position = next[sequence]!++
      backend.batch.add((sequence + position * 31) % backend.info.vocabularySize, position, sequence, true)
    }
    const begun = performance.now()
    return (await backend.decode()) === 'ok' ? performance.now() - begun : Number.NaN
  }
  try {
    for (let round = 0; round < rounds; round++) {
      for (const rows of smallSizes) {
        let least = costs.get(rows) ?? Number.POSITIVE_INFINITY
        for (let run = 0; run < runsOf(rows); run++) least = Math.min(least, await decode(rows))
        if (Number.isNaN(least) || least > slowMs * rows) return undefined
        costs.set(rows, least)
        if (rows === 2 && least < 1.5 * costs.get(1)!) return undefined
      }
    }
  } finally {
    for (let sequence = 0; sequence < most; sequence++) backend.removeRange(sequence, -1, -1)
  }
  return Array.from({ length: most }, (_, i) => between(costs, i + 1))
}

/** The cost of `rows`, measured or interpolated. */
function between(costs: ReadonlyMap<number, number>, rows: number): number {
  const above = smallSizes.find(size => size >= rows)!
  const below = smallSizes.findLast(size => size <= rows)!
  const [low, high] = [costs.get(below)!, costs.get(above)!]
  return above === below ? high : low + ((high - low) * (rows - below)) / (above - below)
}
