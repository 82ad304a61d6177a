/**
 * Decode speed of 8 streams on a real model, free and constrained, in turns. Not a test:
 * `node dist/test/engine/constraint/cost-streams.js [model.gguf]`.
 */
import { createConstraintService } from '../../../src/engine/constraint/service.js'
import { loadBackend } from '../../../src/llama/backend.js'
import { greedy, plainOptions, smallModel } from '../../llama/support/backends.js'

const streams = 8
const steps = 150
const backend = await loadBackend({ ...plainOptions, model: process.argv[2] ?? smallModel })
const size = backend.info.vocabularySize
const stopTokens = Array.from({ length: size }, (_, token) => token).filter(token =>
  backend.isEndOfGeneration(token)
)
const piece = (token: number, special?: boolean) => backend.piece(token, special)
const service = createConstraintService({ vocabulary: { size, piece, stopTokens } })
const schema = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] }
const compiled = await service.compile({ type: 'json_schema', strict: true, schema })
const prompt = await backend.tokenize('{"text": "', { addSpecial: false, parseSpecial: false })

/** Tokens per second, and how many masks came late. */
async function run(constrained: boolean): Promise<{ rate: number; late: number }> {
  const samplers = Array.from({ length: streams }, (_, seed) =>
    backend.createSampler({ ...greedy, temperature: 1, topK: 40, seed })
  )
  const matchers = samplers.map(() => compiled.matcher())
  for (const matcher of matchers) await matcher.whenReady(10_000)
  const next = samplers.map(() => prompt[0]!)
  let late = 0
  let tokens = 0
  const started = performance.now()
  for (let step = 0; step < steps; step++) {
    backend.batch.clear()
    const rows = next.map((token, id) => backend.batch.add(token, step, id, true))
    await backend.decode()
    for (let id = 0; id < streams; id++) {
      const matcher = matchers[id]!
      if (constrained) {
        if (!matcher.isReady) late++
        while (!matcher.mask(backend.logits(rows[id]!))) await matcher.whenReady(10_000)
      }
      next[id] = samplers[id]!.sample(rows[id]!)
      tokens++
      if (!constrained) continue
      if (!matcher.accept(next[id]!)) throw new Error('the sampler drew a masked token')
      if (!matcher.isDone) continue
      matcher.free()
      matchers[id] = compiled.matcher()
      await matchers[id]!.whenReady(10_000)
    }
  }
  const seconds = (performance.now() - started) / 1000
  for (const matcher of matchers) matcher.free()
  for (const [id, sampler] of samplers.entries()) {
    sampler.free()
    backend.removeRange(id, 0, -1)
  }
  return { rate: tokens / seconds, late }
}

await run(false)
await run(true)
for (let round = 0; round < 5; round++) {
  const free = await run(false)
  const constrained = await run(true)
  const cost = 100 * (1 - constrained.rate / free.rate)
  process.stdout.write(
    `free ${free.rate.toFixed(0)} tok/s, constrained ${constrained.rate.toFixed(0)} tok/s (${cost.toFixed(0)} % less, ` +
      `${constrained.late} of ${streams * steps} masks late)\n`
  )
}
await service.dispose()
backend.dispose()
