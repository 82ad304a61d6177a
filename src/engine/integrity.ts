import type { Backend } from './backend.js'
import type { Scheduler } from './scheduler/scheduler.js'

/**
 * Compares what we believe about the pool with what the library holds: the positions of every sequence id, and the
 * number of cells by the size of its state. Never our counters against our counters.
 * @returns differences in words; empty when all agrees.
 */
export function checkIntegrity(backend: Backend, scheduler: Scheduler): string[] {
  const { sequenceIds, memory } = backend.capabilities
  const wrong: string[] = []
  const expected = new Map<number, { from: number; to: number; what: string }>()
  for (const branch of scheduler.cache.index.branches) {
    const held = { from: branch.start, to: branch.end, what: 'holder' }
    expected.set(branch.sequence, held)
    if (branch.twin !== -1) expected.set(branch.twin, held)
  }
  for (const { sequence, length } of scheduler.snapshots?.holders() ?? []) {
    expected.set(sequence, { from: 0, to: length, what: 'snapshot' })
  }
  for (const stream of scheduler.running) {
    expected.set(stream.sequence, { from: 0, to: stream.computed, what: 'stream' })
  }
  for (let id = 0; id < sequenceIds; id++) {
    if (id === scheduler.graveyard.id || id === scheduler.tiers?.scratchId) continue
    const want = expected.get(id)
    const last = backend.maxPosition(id)
    const first = backend.minPosition(id)
    if (!want || want.to === want.from) {
      if (last !== -1) wrong.push(`sequence ${id} holds positions ${first}..${last}, we think it is empty`)
      if (!want && scheduler.ids.isTaken(id)) wrong.push(`sequence ${id} is taken by nobody`)
      continue
    }
    // Windows and running states forget early positions, except of branches: then only the end can be compared.
    const forgets = memory !== 'attention' && want.what !== 'holder'
    const firstAgrees = forgets ? first >= want.from : first === want.from
    if (last !== want.to - 1 || !firstAgrees) {
      wrong.push(
        `sequence ${id} (${want.what}) holds positions ${first}..${last}, not ${want.from}..${want.to - 1}`
      )
    }
  }
  const cells = backend.usedCells()
  if (cells !== -1 && cells !== scheduler.usedCells) {
    wrong.push(`the pool holds ${cells} cells, we count ${scheduler.usedCells}`)
  }
  return wrong
}
