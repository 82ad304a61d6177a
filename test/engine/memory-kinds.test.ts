/**
 * Every way a model can remember, on the real library with tiny random models: whatever the cache, the pool and the
 * other streams do, an answer is the one that an empty pool gives. Compared by the log probabilities of the chosen
 * tokens, which tell a wrong prefix long before the text does; the shapes of batches alone move them by far less than
 * the bound.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { Backend } from '../../src/engine/backend.js'
import type { EngineConfig, GenerationRequest } from '../../src/engine/messages.js'
import { cutFor } from '../../src/engine/tiers/piece.js'
import { TierStore } from '../../src/engine/tiers/store.js'
import { loadBackend } from '../../src/llama/backend.js'
import { count } from '../support/counts.js'
import { type TinyModelKind, writeTinyModel } from '../support/gguf/tiny-models.js'
import { cachedOf, EngineHarness, type Outcome, request } from './harness.js'

const kinds = ['llama', 'gemma3', 'mamba', 'lfm2'] as const
/** Sliding window of the gemma3 model; most prompts are longer. */
const WINDOW = 64
/** Log probabilities of the same token in the same context differ by less than this, however they were computed. */
const BOUND = 0.05

const folder = mkdtempSync(path.join(os.tmpdir(), 'octavo-kinds-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

async function load(t: Test, kind: TinyModelKind, contextCells = 4096, sequenceIds = 32): Promise<Backend> {
  const model = writeTinyModel(kind, path.join(folder, `${kind}.gguf`), { window: WINDOW })
  const backend = await loadBackend({
    model,
    contextCells,
    sequenceIds,
    batchRows: 64,
    threads: 1,
    gpuLayers: 0,
    cacheTypeK: 'f16',
    cacheTypeV: 'f16',
    flashAttention: 'auto'
  })
  t.teardown(() => backend.dispose())
  return backend
}

/** Where the prompt's tokens came from. */
function tiersOf(outcome: Outcome) {
  const end = outcome.events.at(-1)
  if (end?.type !== 'end') throw new Error(JSON.stringify(end))
  return end.usage.cached
}

async function withEngine<T>(
  backend: Backend,
  config: Partial<EngineConfig>,
  work: (harness: EngineHarness) => Promise<T>,
  store: TierStore | null = null
): Promise<T> {
  const harness = await EngineHarness.start(backend, { parallel: 6, ...config }, store)
  const result = await harness.guard(work(harness))
  await harness.guard(harness.engine.idle())
  if (store) await harness.engine.drain(1000)
  harness.engine.scheduler.prefixes.clear()
  harness.engine.scheduler.graveyard.clear()
  t.equal(harness.engine.scheduler.usedCells, 0, 'nothing is counted afterwards')
  for (let id = 0; id < backend.capabilities.sequenceIds; id++) {
    if (backend.maxPosition(id) !== -1) t.fail(`sequence ${id} is not empty afterwards`)
  }
  await harness.stop()
  return result
}

/** Deterministic tokens, none of them special. */
function tokens(length: number, seed: number): number[] {
  let state = seed * 2654435761
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return 10 + ((state >>> 8) % 240)
  })
}

function ask(prompt: number[] | string, overrides: Partial<GenerationRequest> = {}): GenerationRequest {
  return request(prompt, { maxTokens: 12, ignoreEndOfText: true, logprobs: 2, ...overrides })
}

/** What an empty pool answers. */
async function cold(
  backend: Backend,
  prompts: number[][],
  overrides: Partial<GenerationRequest> = {}
): Promise<Outcome[]> {
  return withEngine(backend, {}, async harness => {
    const outcomes: Outcome[] = []
    for (const prompt of prompts)
      outcomes.push(await harness.run(ask(prompt, { ...overrides, cachePrompt: false })))
    return outcomes
  })
}

interface Drawn {
  token: number
  logprob: number
  top: Array<{ logprob: number }>
}

function drawn(outcome: Outcome, choice = 0): Drawn[] {
  return outcome.events.flatMap(event =>
    event.type === 'text' && event.choice === choice ? (event.logprobs ?? []) : []
  )
}

/** How far an answer is from the reference: in log probabilities, as long as both say the same. */
function deviation(reference: Outcome, other: Outcome, choice = 0): number {
  const left = drawn(reference)
  const right = drawn(other, choice)
  if (left.length === 0 || left.length !== right.length) return Number.POSITIVE_INFINITY
  let most = 0
  for (const [i, entry] of left.entries()) {
    const match = right[i]!
    if (match.token !== entry.token) {
      // From here on they go different ways; the two must have been all but equal.
      const [best, second] = entry.top
      return Math.max(most, best!.logprob - second!.logprob)
    }
    most = Math.max(most, Math.abs(match.logprob - entry.logprob))
  }
  return most
}

function same(t: Test, reference: Outcome, other: Outcome, what: string, choice = 0): void {
  const off = deviation(reference, other, choice)
  if (off < BOUND) t.pass(what)
  else t.fail(`${what}: off by ${off}`, { end: other.events.at(-1), text: other.text[choice] })
}

/** Prompts of two families; most share a beginning with another, and are far longer than the window. */
function families(n: number): number[][] {
  return Array.from({ length: n }, (_, i) => [
    ...tokens(150, i % 2).slice(0, 60 + ((i * 37) % 91)),
    ...tokens(5 + ((i * 53) % 160), 100 + i)
  ])
}

for (const kind of kinds) {
  t.test(kind, { timeout: 300_000 }, async t => {
    const backend = await load(t, kind)
    const prompts = families(count(8, 40))
    const expected = await cold(backend, prompts)

    await t.test('cold, again, after the others, together with them', async t => {
      await withEngine(backend, {}, async harness => {
        for (let round = 0; round < 3; round++) {
          for (const [i, prompt] of prompts.entries()) {
            const outcome = await harness.run(ask(prompt))
            same(t, expected[i]!, outcome, `prompt ${i}, round ${round}, ${cachedOf(outcome)} tokens cached`)
          }
        }
      })
      await withEngine(backend, {}, async harness => {
        const outcomes = await Promise.all(prompts.map(prompt => harness.run(ask(prompt))))
        for (const [i, outcome] of outcomes.entries()) same(t, expected[i]!, outcome, `prompt ${i} together`)
      })
    })

    await t.test('choices share a prompt', async t => {
      await withEngine(backend, {}, async harness => {
        const outcome = await harness.run(ask(prompts[3]!, { choices: 3 }))
        for (let choice = 0; choice < 3; choice++) same(t, expected[3]!, outcome, `choice ${choice}`, choice)
      })
    })

    await t.test('cut at every kind of position', async t => {
      const base = tokens(230, 7)
      const cuts = [1, 2, 31, 32, 33, 63, 64, 65, 66, 100, 127, 128, 129, 191, 192, 193, 228, 229, 230]
      const cutPrompts = cuts.map(cut => [...base.slice(0, cut), ...tokens(3, cut)])
      const wanted = await cold(backend, cutPrompts)
      const whole = (await cold(backend, [base], { maxTokens: 90 }))[0]!
      await withEngine(backend, {}, async harness => {
        // Its answer is longer than the window as well.
        same(t, whole, await harness.run(ask(base, { maxTokens: 90 })), 'the one that is cut')
        for (const [i, prompt] of cutPrompts.entries()) {
          same(t, wanted[i]!, await harness.run(ask(prompt)), `cut at ${cuts[i]}`)
        }
        same(t, whole, await harness.run(ask(base, { maxTokens: 90 })), 'again whole')
      })
    })

    await t.test('cancelled at any moment, asked again', async t => {
      const wanted = await cold(backend, prompts, { maxTokens: 100 })
      await withEngine(backend, { batchRows: 32 }, async harness => {
        for (const [i, prompt] of prompts.entries()) {
          const { id } = harness.submit(ask(prompt, { maxTokens: 100 }))
          for (let turn = 0; turn < i * 9; turn++) await new Promise(resolve => setImmediate(resolve))
          harness.cancel(id)
          same(t, wanted[i]!, await harness.run(ask(prompt, { maxTokens: 100 })), `prompt ${i}`)
        }
      })
    })

    await t.test('a conversation goes on', async t => {
      let prompt = tokens(90, 3)
      const turns: number[][] = []
      const answers: Outcome[] = []
      await withEngine(backend, {}, async harness => {
        for (let turn = 0; turn < 5; turn++) {
          const outcome = await harness.run(ask(prompt, { maxTokens: 40 }))
          turns.push(prompt)
          answers.push(outcome)
          prompt = [...prompt, ...drawn(outcome).map(({ token }) => token), ...tokens(20, 30 + turn)]
        }
      })
      const wanted = await cold(backend, turns, { maxTokens: 40 })
      for (const [turn, answer] of answers.entries()) {
        same(t, wanted[turn]!, answer, `turn ${turn}, ${cachedOf(answer)} of ${turns[turn]!.length} cached`)
      }
    })

    await t.test('in a pool that wraps, evicts and preempts', async t => {
      const long = { maxTokens: 90 }
      const wanted = await cold(backend, prompts, long)
      const small = await load(t, kind, 512, 12)
      await withEngine(small, { parallel: 4 }, async harness => {
        for (let round = 0; round < count(3, 12); round++) {
          const order = prompts.map((_, i) => (i * 5 + round * 3) % prompts.length)
          const outcomes = await Promise.all(
            order.map((i, at) => harness.run(ask(prompts[i]!, { ...long, salt: `${(at + round) % 2}` })))
          )
          for (const [at, i] of order.entries())
            same(t, wanted[i]!, outcomes[at]!, `prompt ${i}, round ${round}`)
        }
        const { evictedCells, preemptions } = harness.engine.stats().counters
        t.comment(`evicted ${evictedCells} cells, preempted ${preemptions} times`)
      })
    })

    await t.test('paused and resumed', async t => {
      const wanted = await cold(backend, prompts.slice(0, 5), { maxTokens: 100 })
      const small = await load(t, kind, 512, 12)
      await withEngine(small, { parallel: 2 }, async harness => {
        const running = prompts.slice(0, 5).map(prompt => harness.submit(ask(prompt, { maxTokens: 100 })))
        for (const { id } of running.slice(0, 2)) harness.engine.setPaused(id, true)
        await Promise.all(running.slice(2).map(({ done }) => done))
        for (const { id } of running.slice(0, 2)) harness.engine.setPaused(id, false)
        for (const [i, { done }] of running.entries()) same(t, wanted[i]!, await done, `prompt ${i}`)
      })
    })

    await t.test('reproducible, cold and cached, alone and together: the same text', async t => {
      await withEngine(backend, { reproducible: true }, async harness => {
        const alone: string[] = []
        for (const prompt of prompts) alone.push((await harness.run(ask(prompt))).text[0] ?? '')
        for (const [i, prompt] of prompts.entries()) {
          t.equal((await harness.run(ask(prompt))).text[0], alone[i], `prompt ${i} again`)
        }
        const together = await Promise.all(
          prompts.map(prompt => harness.run(ask(prompt, { salt: 'together' })))
        )
        for (const [i, outcome] of together.entries())
          t.equal(outcome.text[0], alone[i], `prompt ${i} together`)
      })
    })
  })
}

t.test('a window in a pool whose cells are used again: no entry loses what it stands for', async t => {
  const backend = await load(t, 'gemma3', 1024, 32)
  const base = tokens(300, 1)
  const branch = [...base.slice(0, 70), ...tokens(230, 2)]
  const twig = [...branch.slice(0, 140), ...tokens(40, 3)]
  const wanted = await cold(backend, [base.slice(0, 75), [...twig, 11], [...branch.slice(0, 100), 12], base])
  await withEngine(backend, {}, async harness => {
    // It takes the lowest cells, and leaves them when the others have been computed behind it.
    const first = harness.submit(ask(tokens(60, 40), { maxTokens: 500, cachePrompt: false }))
    await new Promise(resolve => setTimeout(resolve, 30))
    harness.engine.setPaused(first.id, true)
    await harness.run(ask(base, { maxTokens: 1 }))
    await harness.run(ask(branch, { maxTokens: 1 }))
    await harness.run(ask(twig, { maxTokens: 1 }))
    harness.cancel(first.id)
    // Others come and go; each time the library looks for cells from the pool's beginning.
    for (let i = 0; i < 6; i++) {
      const filler = (seed: number) => ask(tokens(120, seed), { maxTokens: 100, cachePrompt: false })
      await Promise.all([harness.run(filler(50 + i)), harness.run(filler(60 + i))])
    }
    t.equal(harness.engine.stats().counters.evictedCells, 0, 'nothing was evicted')
    const prompts = [base.slice(0, 75), [...twig, 11], [...branch.slice(0, 100), 12], base]
    for (const [i, prompt] of prompts.entries()) {
      const outcome = await harness.run(ask(prompt))
      same(t, wanted[i]!, outcome, `prompt ${i}, ${cachedOf(outcome)} tokens cached`)
      t.ok(cachedOf(outcome) >= 70)
    }
    t.equal(harness.engine.scheduler.cache.guardFailures, 0)
  })
})

t.test('a window and the tiers: pieces are no longer than the window, so they are saved whole', async t => {
  const disk = path.join(folder, 'store')
  const open = (backend: Backend) => {
    const { grid } = cutFor(backend.capabilities)
    t.equal(grid, WINDOW)
    const { fingerprint } = backend.info
    const tier = { folder: disk, fingerprint, label: 'gemma3', capBytes: 1 << 28, dailyWriteBytes: null }
    return new TierStore({ grid: WINDOW, ramBytes: 1 << 26, disk: tier, writeBehindMs: 10 })
  }
  const backend = await load(t, 'gemma3', 1024, 32)
  const bases = [tokens(300, 1), tokens(260, 2), tokens(301, 4)]
  const cuts = [70, 128, 150, 299].map((cut, i) => [...bases[0]!.slice(0, cut), ...tokens(5, 20 + i)])
  const prompts = [...bases, ...cuts]
  const wanted = await cold(backend, prompts, { maxTokens: 80 })
  const counts = { ram: 0, disk: 0 }
  const askAll = async (harness: EngineHarness, what: string) => {
    for (const [i, prompt] of prompts.entries()) {
      const outcome = await harness.run(ask(prompt, { maxTokens: 80 }))
      const { resident, ram, disk } = tiersOf(outcome)
      counts.ram += ram
      counts.disk += disk
      same(
        t,
        wanted[i]!,
        outcome,
        `${what}: prompt ${i}; ${resident} resident, ${ram} from RAM, ${disk} from disk`
      )
    }
  }
  const push = async (harness: EngineHarness, seed: number) => {
    for (let i = 0; i < 8; i++)
      await harness.run(ask(tokens(150, seed + i), { maxTokens: 100, salt: 'other' }))
  }
  await withEngine(
    backend,
    {},
    async harness => {
      await askAll(harness, 'cold and resident')
      for (let round = 0; round < count(2, 10); round++) {
        await push(harness, 100 + 10 * round)
        await askAll(harness, `evicted ${round}`)
      }
      const together = await Promise.all(prompts.map(prompt => harness.run(ask(prompt, { maxTokens: 80 }))))
      for (const [i, outcome] of together.entries()) same(t, wanted[i]!, outcome, `together: prompt ${i}`)
    },
    open(backend)
  )
  t.ok(counts.ram > 1000, `${counts.ram} tokens came from RAM`)
  const store = open(backend)
  await store.ready
  await withEngine(backend, {}, harness => askAll(harness, 'after a restart'), store)
  t.ok(counts.disk > 300, `${counts.disk} tokens came from disk`)
})

for (const kind of ['mamba', 'lfm2'] as const) {
  t.test(`${kind} and the tiers: whole states come back from RAM, and from disk after a restart`, async t => {
    const disk = path.join(folder, `store-${kind}`)
    const open = ({ info, capabilities }: Backend) => {
      const tier = {
        folder: disk,
        fingerprint: info.fingerprint,
        label: kind,
        capBytes: 1 << 28,
        dailyWriteBytes: null
      }
      return new TierStore({ ...cutFor(capabilities), ramBytes: 1 << 26, disk: tier, writeBehindMs: 10 })
    }
    // Few cells, and few ids beside those of running streams: nothing stays in the pool for long.
    const backend = await load(t, kind, 1024, 12)
    const prompts = [1, 2, 3, 4].map(seed => tokens(200 + 17 * seed, seed))
    const next = prompts.map((prompt, i) => [...prompt, ...tokens(30, 40 + i)])
    const wanted = await cold(backend, [...prompts, ...next], { maxTokens: 40 })
    const counts = { ram: 0, disk: 0 }
    const askAll = async (harness: EngineHarness, what: string) => {
      for (const [i, prompt] of [...prompts, ...next].entries()) {
        const outcome = await harness.run(ask(prompt, { maxTokens: 40 }))
        const { resident, ram, disk } = tiersOf(outcome)
        counts.ram += ram
        counts.disk += disk
        same(
          t,
          wanted[i]!,
          outcome,
          `${what}: prompt ${i}; ${resident} resident, ${ram} from RAM, ${disk} from disk`
        )
      }
    }
    const push = async (harness: EngineHarness, seed: number) => {
      for (let i = 0; i < 8; i++) await harness.run(ask(tokens(150, seed + i), { salt: 'other' }))
    }
    await withEngine(
      backend,
      {},
      async harness => {
        await askAll(harness, 'cold and resident')
        for (let round = 0; round < count(2, 10); round++) {
          await push(harness, 100 + 10 * round)
          await askAll(harness, `evicted ${round}`)
        }
        await push(harness, 300)
        const together = await Promise.all(
          [...prompts, ...prompts].map(prompt => harness.run(ask(prompt, { maxTokens: 40 })))
        )
        for (const [i, outcome] of together.entries())
          same(t, wanted[i % 4]!, outcome, `together: prompt ${i}`)
      },
      open(backend)
    )
    t.ok(counts.ram > 1000, `${counts.ram} tokens came from RAM`)

    const store = open(backend)
    await store.ready
    t.ok(store.stats().disk!.pieces > 0)
    await withEngine(
      backend,
      {},
      async harness => {
        for (const [i, prompt] of next.entries()) {
          const outcome = await harness.run(ask(prompt, { maxTokens: 40 }))
          counts.disk += tiersOf(outcome).disk
          same(
            t,
            wanted[4 + i]!,
            outcome,
            `after a restart: ${tiersOf(outcome).disk} of ${prompt.length} from disk`
          )
        }
      },
      store
    )
    t.ok(counts.disk > 600, `${counts.disk} tokens came from disk`)

    // Another tenant finds nothing of it, on disk either.
    const foreign = open(backend)
    await foreign.ready
    await withEngine(
      backend,
      {},
      async harness => {
        const outcome = await harness.run(ask(prompts[0]!, { maxTokens: 40, salt: 'foreign' }))
        t.match(tiersOf(outcome), { resident: 0, ram: 0, disk: 0 })
        same(t, wanted[0]!, outcome, 'of another salt')
      },
      foreign
    )
  })
}

t.test('of a conversation the end is kept below the pool, not every turn of it', async t => {
  const backend = await load(t, 'lfm2', 2048, 24)
  const store = new TierStore({ ...cutFor(backend.capabilities), ramBytes: 1 << 26, disk: null })
  await withEngine(
    backend,
    {},
    async harness => {
      let prompt = tokens(100, 1)
      for (let turn = 0; turn < 6; turn++) {
        const outcome = await harness.run(ask(prompt))
        prompt = [...prompt, ...drawn(outcome).map(({ token }) => token), ...tokens(20, 50 + turn)]
        // Time for what is waiting to be saved.
        await new Promise(resolve => setTimeout(resolve, 30))
      }
      const { pieces, superseded } = store.stats().ram
      t.ok(pieces <= 4, `${pieces} states are kept`)
      t.ok(superseded >= 4, `${superseded} were superseded`)
    },
    store
  )
})

t.test('a window and a long answer: cells taken from under it do not get into the cache', async t => {
  const backend = await load(t, 'gemma3', 1024, 32)
  const start = tokens(50, 1)
  await withEngine(backend, {}, async harness => {
    const first = harness.submit(ask(tokens(40, 40), { maxTokens: 500, cachePrompt: false }))
    const answering = harness.submit(ask(start, { maxTokens: 300 }))
    await new Promise(resolve => setTimeout(resolve, 100))
    harness.cancel(first.id)
    for (let i = 0; i < 20; i++)
      await harness.run(ask(tokens(180, 50 + i), { maxTokens: 2, cachePrompt: false }))
    const long = [...start, ...drawn(await answering.done).map(({ token }) => token)]
    const cuts = [100, 149, 200, 260, 330].map((cut, i) => [...long.slice(0, cut), ...tokens(4, i)])
    for (const [i, prompt] of cuts.entries()) {
      const fresh = await harness.run(ask(prompt, { cachePrompt: false }))
      const outcome = await harness.run(ask(prompt))
      same(t, fresh, outcome, `cut ${i}, ${cachedOf(outcome)} of ${prompt.length} cached`)
    }
    t.equal(harness.engine.scheduler.cache.guardFailures, 0)
  })
})

t.test('streams that outgrow the pool are preempted, and go on as if they had not been', async t => {
  for (const kind of kinds) {
    const prompts = [1, 2, 3].map(seed => tokens(90 + 10 * seed, seed))
    const wanted = await cold(await load(t, kind), prompts, { maxTokens: 420 })
    const small = await load(t, kind, 1024, 16)
    await withEngine(small, {}, async harness => {
      const outcomes = await Promise.all(prompts.map(prompt => harness.run(ask(prompt, { maxTokens: 420 }))))
      for (const [i, outcome] of outcomes.entries()) same(t, wanted[i]!, outcome, `${kind}: prompt ${i}`)
      t.ok(harness.engine.stats().counters.preemptions > 0, `${kind}: preempted`)
    })
  }
})

t.test('the cells that snapshots are thought to hold are those that the library has not got', async t => {
  const backend = await load(t, 'lfm2', 1024, 32)
  await withEngine(backend, {}, async harness => {
    const { scheduler } = harness.engine
    for (const [i, prompt] of families(6).entries()) {
      await harness.run(ask(prompt, { salt: `${i % 2}`, choices: 1 + (i % 2) }))
      if (i % 3 === 2) await harness.engine.betweenSteps(() => scheduler.prefixes.evict(100))
    }
    t.ok(scheduler.prefixes.idleCells() > 300)
    await harness.engine.betweenSteps(() => undefined)
    const free = scheduler.cells - scheduler.usedCells
    const id = scheduler.ids.take() as number
    const fill = async (from: number, to: number) => {
      backend.batch.clear()
      for (let position = from; position < to; position++)
        backend.batch.add(20, position, id, position === to - 1)
      return backend.decode()
    }
    for (let at = 0; at < free; at += 64) t.equal(await fill(at, Math.min(free, at + 64)), 'ok')
    t.equal(await fill(free, free + 1), 'full')
    backend.removeRange(id, 0, -1)
    scheduler.ids.give(id)
  })
})

t.test('anchors: what agents share is computed once, and kept for all of them', async t => {
  for (const kind of ['mamba', 'lfm2'] as const) {
    const backend = await load(t, kind)
    const system = 'You know the ways of the sea, and you are brief. '.repeat(4)
    const asks = ['a', 'bb', 'ccc', 'dddd', 'eeeee'].map(word => `${system}Say ${word}.`)
    const segment = (text: string): GenerationRequest['prompt'] => [
      { type: 'text', text, addSpecial: false, parseSpecial: true, anchors: [system.length, text.length] }
    ]
    const wanted: Outcome[] = []
    await withEngine(backend, {}, async harness => {
      for (const text of asks)
        wanted.push(await harness.run(ask(text, { prompt: segment(text), cachePrompt: false })))
    })
    await withEngine(backend, {}, async harness => {
      const together = await Promise.all(asks.map(text => harness.run(ask(text, { prompt: segment(text) }))))
      for (const [i, outcome] of together.entries())
        same(t, wanted[i]!, outcome, `${kind}: ${asks[i]!.slice(-8)}`)
      const cached = together.map(outcome => cachedOf(outcome))
      t.equal(
        cached.filter(tokens => tokens > 100).length,
        asks.length - 1,
        `${kind}: ${cached.join(', ')} cached`
      )
      const other = await harness.run(ask(asks[0]!, { prompt: segment(asks[0]!), salt: 'another tenant' }))
      t.equal(cachedOf(other), 0, 'not for another tenant')
    })
  }
})
