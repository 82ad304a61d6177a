import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { PromptSegment } from '../../src/engine/messages.js'
import { cutFor } from '../../src/engine/tiers/piece.js'
import { TierStore } from '../../src/engine/tiers/store.js'
import { count } from '../support/counts.js'
import { EngineHarness, type Outcome, request } from './harness.js'
import { expectedAnswer, SimulatedBackend } from './simulated-backend.js'

/** Prompts of a few families, so that prefixes are shared, in flight and cached. */
const prompt = fc
  .record({
    family: fc.integer({ min: 0, max: 2 }),
    shared: fc.integer({ min: 0, max: 90 }),
    own: fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 40 })
  })
  .map(({ family, shared, own }) => [
    ...Array.from({ length: shared }, (_, i) => 1 + ((i * 31 + family * 57) % 100)),
    ...own
  ])

const arrival = fc.record({
  kind: fc.constant('submit' as const),
  prompt,
  maxTokens: fc.integer({ min: 1, max: 40 }),
  choices: fc.constantFrom(1, 1, 1, 2, 3),
  salt: fc.constantFrom('', '', 'other'),
  priority: fc.constantFrom(0, 0, 1),
  cachePrompt: fc.constantFrom(true, true, true, false),
  reproducible: fc.constantFrom(false, false, false, true)
})

const event = fc.oneof(
  { weight: 6, arbitrary: arrival },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), index: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pause' as const), index: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('turns' as const), turns: fc.integer({ min: 1, max: 12 }) })
  }
)

const pool = fc.record({
  reproducible: fc.constantFrom(false, false, true),
  cells: fc.constantFrom(160, 256, 2048),
  sequenceIds: fc.constantFrom(8, 16, 64),
  memory: fc.constantFrom('attention', 'attention', 'window', 'recurrent', 'hybrid'),
  tiers: fc.boolean(),
  device: fc.constantFrom('none', 'CPU'),
  batchRows: fc.constantFrom(8, 64),
  invariantRows: fc.constantFrom(0, 6),
  parallel: fc.constantFrom(1, 3, 8),
  breaks: fc.constantFrom(0, 1, 3),
  // One by one, or together.
  smallDecodeMs: fc.constantFrom([], [1, 3, 5])
})

/** The same prompt with anchors: the simulated tokenizer gives a token for each byte. */
function anchored(prompt: number[]): PromptSegment[] {
  const text = String.fromCharCode(...prompt)
  const anchors = [prompt.length >> 2, prompt.length >> 1, prompt.length]
  return [{ type: 'text', text, addSpecial: false, parseSpecial: false, anchors }]
}

interface Submitted {
  id: number
  prompt: number[]
  maxTokens: number
  choices: number
  cancelled: boolean
  paused: boolean
  done: Promise<Outcome>
}

t.test('whatever comes, leaves, pauses: every answer is right and nothing leaks', async t => {
  const runs = count(120, 5000)
  t.comment(`${runs} random schedules`)
  let besides = 0
  await fc.assert(
    fc.asyncProperty(pool, fc.array(event, { minLength: 1, maxLength: 30 }), async (options, events) => {
      const backend = new SimulatedBackend(options)
      const { cuttable, grid } = cutFor(backend.capabilities)
      const cut = cuttable ? { grid: 16 } : { grid, cuttable }
      const harness = await EngineHarness.start(
        backend,
        {
          parallel: options.parallel,
          reproducible: options.reproducible,
          // Next tokens are due in every break.
          ...(options.breaks > 0 && { targetItlMs: 0 })
        },
        // Thousands of stores with a thread each would be more than a process can hold.
        options.tiers ? new TierStore({ ramBytes: 1 << 20, ...cut, disk: null, touchesAhead: false }) : null
      )
      const all: Submitted[] = []
      for (const event of events) {
        if (event.kind === 'submit') {
          const { kind: _, prompt, ...params } = event
          const { maxTokens, choices } = params
          const { id, done } = harness.submit(request(prompt, { ...params, prompt: anchored(prompt) }))
          all.push({ id, prompt, maxTokens, choices, cancelled: false, paused: false, done })
        } else if (event.kind === 'compact') {
          const { scheduler } = harness.engine
          await harness.guard(
            harness.engine.betweenSteps(() => scheduler.tiers && scheduler.compact(scheduler.tiers.scratchId))
          )
        } else if (event.kind === 'turns') {
          for (let i = 0; i < event.turns; i++)
            await harness.guard(new Promise(resolve => setImmediate(resolve)))
        } else {
          const target = all[event.index % Math.max(1, all.length)]
          if (!target) continue
          if (event.kind === 'cancel') {
            harness.cancel(target.id)
            target.cancelled = true
          } else {
            target.paused = !target.paused
            harness.engine.setPaused(target.id, target.paused)
          }
        }
      }
      for (const each of all) if (each.paused) harness.engine.setPaused(each.id, false)
      for (const each of all) {
        if (each.cancelled) continue
        const outcome = await harness.guard(each.done)
        verify(outcome, each, options.cells)
      }
      await harness.guard(harness.engine.idle())
      const { cache, snapshots, prefixes, ids, running, waiting } = harness.engine.scheduler
      assert.deepEqual([running.length, waiting.length], [0, 0])
      const { graveyard, tiers } = harness.engine.scheduler
      assert.equal(
        ids.used - (graveyard.id === -1 ? 0 : 1) - (tiers ? 1 : 0),
        cache.index.branches.size * (options.memory === 'window' ? 2 : 1) +
          (snapshots?.holders().length ?? 0),
        'only holders keep ids'
      )
      assert.ok(backend.mostUsedCells <= options.cells)
      assert.equal(prefixes.guardFailures, 0)
      prefixes.clear()
      graveyard.clear()
      assert.ok(backend.usedCells() <= 0, 'no cell is left')
      assert.equal(harness.engine.scheduler.usedCells, 0, 'none is counted')
      assert.equal(ids.used, tiers ? 1 : 0, 'no id is left')
      await harness.stop()
      besides += backend.besides
    }),
    { numRuns: runs }
  )
  t.pass('all schedules end well')
  t.ok(besides > runs / 4, `${besides} tokens were computed in breaks of other decodes`)
})

function verify(outcome: Outcome, { prompt, maxTokens, choices }: Submitted, cells: number): void {
  const last = outcome.events.at(-1)
  assert.equal(last?.type, 'end', JSON.stringify(last))
  const want = expectedAnswer(prompt, maxTokens)
  for (let choice = 0; choice < choices; choice++) {
    const text = outcome.text[choice] ?? ''
    const full = Buffer.from(want).toString()
    // A stream alone in the pool may be cut short where the pool ends, but only there.
    const atPoolEnd = outcome.finish[choice] === 'length' && prompt.length + text.length >= cells - 1
    if (atPoolEnd) assert.ok(full.startsWith(text))
    else assert.equal(text, full)
  }
}
