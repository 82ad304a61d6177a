/** Lanes against the same backend without them: nothing that can be seen from above may differ. */
import t from 'tap'
import type { Backend } from '../../src/engine/backend.js'
import { NativeBatch } from '../../src/llama/batch.js'
import { LanePool } from '../../src/llama/lane-pool.js'
import { Lanes, laneBytes, laneCells } from '../../src/llama/lanes.js'
import type { Functions } from '../../src/llama/library.js'
import { count } from '../support/counts.js'
import { feed, small, tiny } from './support/backends.js'

const IDS = 11

function seeded(seed: number): (below: number) => number {
  let state = seed * 2654435761
  return below => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state % below
  }
}

/** The same done to both; what they say must agree. */
class Pair {
  private readonly live = new Map<number, number>()

  constructor(
    readonly laned: Backend,
    readonly plain: Backend,
    private readonly random: (below: number) => number
  ) {}

  get sequences(): number[] {
    return [...this.live.keys()]
  }

  private freeId(): number {
    return Array.from({ length: IDS }, (_, id) => id).find(id => !this.live.has(id)) ?? -1
  }

  private any(): number {
    const ids = this.sequences
    return ids[this.random(ids.length)] ?? -1
  }

  private token(): number {
    return 10 + this.random(6000)
  }

  async start(length: number): Promise<void> {
    const id = this.freeId()
    if (id < 0) return
    const tokens = Array.from({ length }, () => this.token())
    for (const backend of [this.laned, this.plain]) await feed(backend, id, tokens, 0, 63)
    this.live.set(id, length)
  }

  /** The next tokens of some sequences. Returns the largest difference of any of their logits. */
  async next(ids: number[]): Promise<number> {
    const tokens = ids.map(() => this.token())
    for (const backend of [this.laned, this.plain]) {
      backend.batch.clear()
      for (const [i, id] of ids.entries())
        backend.batch.add(tokens[i] as number, this.live.get(id) as number, id, true)
      if ((await backend.decode({ lanes: backend === this.laned })) !== 'ok') throw new Error('full')
    }
    for (const id of ids) this.live.set(id, (this.live.get(id) as number) + 1)
    let most = 0
    for (const row of ids.keys()) {
      const plain = this.plain.logits(row)
      for (const [i, value] of this.laned.logits(row).entries())
        most = Math.max(most, Math.abs(value - (plain[i] as number)))
    }
    return most
  }

  /** Something that looks at, or changes, sequences of the pool. `frees`: it may free cells as well. */
  async disturb(frees: boolean): Promise<void> {
    const id = this.any()
    const length = this.live.get(id)
    if (length === undefined) return
    const other = this.freeId()
    const both = [this.laned, this.plain]
    switch (this.random(frees ? 5 : 2)) {
      case 0:
        if (other < 0) return
        for (const backend of both) backend.copyRange(id, other, 0, length)
        this.live.set(other, length)
        return
      case 1:
        await this.next([id])
        return
      case 2: {
        const keep = 1 + this.random(length)
        for (const backend of both) backend.removeRange(id, keep, -1)
        this.live.set(id, keep)
        return
      }
      case 3:
        for (const backend of both) backend.removeRange(id, 0, -1)
        this.live.delete(id)
        return
      default: {
        if (other < 0) return
        for (const backend of both) {
          const blob = new Uint8Array(backend.stateBytes(id))
          backend.saveState(id, blob)
          if (backend.restoreState(other, blob) === 0) throw new Error('not restored')
        }
        this.live.set(other, length)
      }
    }
  }

  differences(): string[] {
    const found: string[] = []
    const compare = (what: string, of: (backend: Backend) => number) => {
      const [a, b] = [of(this.laned), of(this.plain)]
      if (a !== b) found.push(`${what}: ${a} with lanes, ${b} without`)
    }
    for (let id = 0; id < IDS; id++) {
      compare(`first position of ${id}`, backend => backend.minPosition(id))
      compare(`last position of ${id}`, backend => backend.maxPosition(id))
    }
    if (this.random(3) === 0) compare('cells', backend => backend.usedCells())
    return found
  }
}

/** As between any two shapes (test/engine/oracle.test.ts): the order of a sequence's cells matters for rounding. */
const BOUND = 1.5

t.test('any schedule gives the same logits and the same cells, with lanes and without', async t => {
  const options = { contextCells: 4096, sequenceIds: IDS + 1 }
  for (const { lanes, frees } of [
    { lanes: 8, frees: false },
    { lanes: 2, frees: false },
    { lanes: 8, frees: true },
    { lanes: 4, frees: true },
    { lanes: 2, frees: true }
  ]) {
    const laned = await small(t, { ...options, lanes })
    const plain = await small(t, options)
    t.equal(laned.capabilities.sequenceIds, IDS, 'one id passes between pool and lanes')
    t.ok((laned.capabilities.laneCells ?? 0) >= 512)
    t.equal(plain.capabilities.laneCells, undefined)
    const random = seeded(lanes)
    const pair = new Pair(laned, plain, random)
    let most = 0
    const differences: string[] = []
    // Without removals the sequences only grow, until the pool is nearly full.
    const steps = frees ? count(100, 1500) : 200
    for (let step = 0; step < steps; step++) {
      if (pair.sequences.length < 2 || random(12) === 0) await pair.start(2 + random(60))
      if (random(4) === 0) await pair.disturb(frees)
      const ids = pair.sequences.filter(() => random(5) > 0)
      if (ids.length > 0) most = Math.max(most, await pair.next(ids))
      differences.push(...pair.differences())
    }
    const what = `${steps} steps, ${lanes} lanes, largest difference of a logit ${most}`
    if (frees) t.ok(most < BOUND, what)
    else t.equal(most, 0, what)
    t.same(differences, [])
  }
})

t.test('a sequence that outgrows its lane goes on in the pool', async t => {
  const options = { contextCells: 8192, sequenceIds: IDS + 1 }
  const laned = await small(t, { ...options, lanes: 4 })
  const pair = new Pair(laned, await small(t, options), seeded(5))
  await pair.start(laned.capabilities.laneCells! - 3)
  await pair.start(20)
  for (let i = 0; i < 8; i++) t.equal(await pair.next(pair.sequences), 0, `token ${i}`)
  t.same(pair.differences(), [])
})

t.test('only models of attention layers have lanes, and only where they are long enough', async t => {
  t.equal((await tiny(t, 'gemma3', { lanes: 4 })).capabilities.laneCells, undefined)
  t.equal((await tiny(t, 'mamba', { lanes: 4 })).capabilities.laneCells, undefined)
  t.equal((await small(t, { lanes: 1 })).capabilities.laneCells, undefined)
  t.equal(laneCells(16, 4096, 32768), 4096)
  t.equal(laneBytes(16, 4096, 32768), 16 * 4096 * 4096)
  t.equal(laneCells(16, 4096, 600), 768)
  t.equal(laneCells(16, 128 * 1024, 32768), 0, 'a model with 128 KiB a cell')
  t.equal(laneCells(4, 24 * 1024, 2048), 2048)
})

t.test('a library that does not hand sequences over is asked once', async t => {
  let asked = 0
  const functions = {
    llama_memory_seq_pos_min: () => 0,
    llama_memory_seq_pos_max: () => 4,
    llama_state_seq_get_data: () => {
      asked++
      return 0
    },
    llama_free: () => {}
  }
  const pool = new LanePool({
    functions: functions as unknown as Functions,
    context: null,
    memory: null,
    scratch: 9,
    vocabularySize: 10,
    blob: new Uint8Array(8)
  })
  const lanes = new Lanes(pool, { context: null, memory: null, count: 2, cells: 512 })
  const batch = new NativeBatch({ rows: 4, outputs: 4, sequenceIds: 8, vocabularySize: 10, positions: 100 })
  t.teardown(() => {
    lanes.free()
    batch.free()
  })
  batch.add(1, 5, 0, true)
  batch.add(1, 5, 1, true)
  t.equal(lanes.take(batch), null)
  t.equal(lanes.take(batch), null)
  t.equal(asked, 1)
})
