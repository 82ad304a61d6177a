import type { EngineStats, StoreFigures, TierStats } from '../messages.js'
import type { PoolTiers } from './pool-tiers.js'

/** What the tiers hold and have moved, and how they fare. Milliseconds of work at most: for every report. */
export function tierFigures({ store, spiller, restorer, cost }: PoolTiers): {
  tiers: NonNullable<EngineStats['tiers']>
  store: StoreFigures
} {
  const { ram, disk, hits, misses } = store.stats()
  const { restoredBytes } = restorer
  const inRam: TierStats = {
    used: ram.usedBytes,
    cap: ram.capBytes,
    spilled: spiller.savedBytes,
    restored: restoredBytes.ram
  }
  const onDisk = disk && {
    used: disk.totalBytes,
    cap: disk.capBytes,
    spilled: disk.writtenBytes,
    restored: restoredBytes.disk
  }
  return {
    tiers: { ram: inRam, ...(onDisk ? { disk: onDisk } : {}) },
    store: {
      pieces: { ram: ram.pieces, disk: disk?.pieces ?? 0 },
      hits,
      misses,
      disk: disk && {
        modelBytes: disk.modelBytes,
        writtenToday: disk.writtenToday,
        faults: happened(disk.faults),
        skipped: happened(disk.skipped),
        // Infinite once it has been given up, which JSON cannot say.
        pausedUntil: disk.pausedUntil === null ? null : Math.min(disk.pausedUntil, Number.MAX_SAFE_INTEGER),
        indexMs: disk.indexMs
      },
      costs: cost.figures()
    }
  }
}

function happened(counts: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
}
