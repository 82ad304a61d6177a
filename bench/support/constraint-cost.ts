/** What a constraint costs in the engine's own loop, without HTTP: mask, draw and accept around real decodes. */
import { createConstraintService } from '../../src/engine/constraint/service.js'
import { drawable } from '../../src/engine/drawable.js'
import { loadBackend } from '../../src/llama/backend.js'
import { recordsSchema } from './constraint-cases.js'

export interface LoopOptions {
  model: string
  threads: number
  streams: number
  /** Decodes per turn, free and constrained. */
  steps: number
  turns: number
}

/** Milliseconds. Free and constrained decodes were taken in turns. */
export interface LoopCost {
  /** Per decode of one row per stream. */
  decodeFree: number[]
  decodeConstrained: number[]
  /** Per drawn token, on the engine's thread: `mask` and `accept`, with the wait for a mask that was late. */
  perToken: number[]
  /** Of it, writing masks that were there into the logits. */
  apply: number[]
  /** Per step: the message that carries the accepted tokens to the constraint's thread. */
  message: number[]
  /** Masks that were not there when the decode was done, of all. */
  late: number
}

export async function constraintCost(options: LoopOptions): Promise<LoopCost> {
  const { streams } = options
  const backend = await loadBackend({
    model: options.model,
    contextCells: streams * (options.steps + 16),
    sequenceIds: streams,
    batchRows: 512,
    threads: options.threads,
    gpuLayers: 0,
    cacheTypeK: 'f16',
    cacheTypeV: 'f16',
    flashAttention: 'auto'
  })
  const vocabulary = drawable(backend)
  const service = createConstraintService({ vocabulary })
  const compiled = await service.compile({ type: 'json_schema', strict: true, schema: recordsSchema })
  const [begin = 0] = await backend.tokenize('{', { addSpecial: false, parseSpecial: false })
  const cost: LoopCost = {
    decodeFree: [],
    decodeConstrained: [],
    perToken: [],
    apply: [],
    message: [],
    late: 0
  }

  /** Sampled with a seed, so that the streams write different texts and their masks differ. */
  const sampling = {
    ...{ temperature: 1, topK: 40, topP: 1, minP: 0, repeatPenalty: 1, repeatLastN: 0 },
    ...{ frequencyPenalty: 0, presencePenalty: 0 },
    logitBias: vocabulary.stopTokens.map(token => ({ token, bias: null }))
  }

  async function turn(seeds: number, constrained: boolean, into: LoopCost): Promise<void> {
    const all = Array.from({ length: streams }, (_, i) => ({
      sampler: backend.createSampler({ ...sampling, seed: seeds + i }),
      matcher: compiled.matcher(),
      token: begin
    }))
    for (const { matcher } of all) await matcher.whenReady(30_000)
    for (let step = 0; step < options.steps; step++) {
      backend.batch.clear()
      const rows = all.map(({ token }, id) => backend.batch.add(token, step, id, true))
      const begun = performance.now()
      await backend.decode()
      ;(constrained ? into.decodeConstrained : into.decodeFree).push(performance.now() - begun)
      for (const [id, stream] of all.entries()) {
        const row = rows[id]!
        if (!constrained) {
          stream.token = stream.sampler.sample(row)
          continue
        }
        const before = performance.now()
        const late = !stream.matcher.isReady
        while (!stream.matcher.mask(backend.logits(row))) await stream.matcher.whenReady(10_000)
        const masked = performance.now()
        if (late) into.late++
        else into.apply.push(masked - before)
        stream.token = stream.sampler.sample(row)
        const drawn = performance.now()
        if (!stream.matcher.accept(stream.token)) throw new Error('the sampler drew a masked token')
        into.perToken.push(masked - before + performance.now() - drawn)
      }
      const last = performance.now()
      // The message leaves in a microtask that `accept` has asked for.
      await null
      if (constrained) into.message.push(performance.now() - last)
    }
    for (const [id, { sampler, matcher }] of all.entries()) {
      matcher.free()
      sampler.free()
      backend.removeRange(id, 0, -1)
    }
  }

  try {
    const warm = { ...cost, decodeFree: [], decodeConstrained: [], perToken: [], apply: [], message: [] }
    for (let i = 0; i <= options.turns; i++) {
      for (const constrained of i % 2 === 0 ? [false, true] : [true, false]) {
        await turn(i * streams, constrained, i === 0 ? warm : cost)
      }
    }
    return cost
  } finally {
    await service.dispose()
    backend.dispose()
  }
}
