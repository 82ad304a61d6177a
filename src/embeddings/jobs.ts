import type { Job } from './job-queue.js'
import type { FromEmbedder, ToEmbedder } from './messages.js'
import type { Runtime } from './runtime.js'

/**
 * Turns a request into a job of one part per input. Every input is measured first: what cannot be taken is refused
 * before anything is computed.
 * @throws EmbeddingRefusal
 */
export function createJob(
  { id, work }: ToEmbedder & { type: 'work' },
  runtime: Runtime,
  send: (message: FromEmbedder) => void
): Job {
  const vectors: Float32Array[] = []
  const scores: number[] = []
  const parts: Array<() => Promise<unknown>> =
    work.kind === 'embed'
      ? work.inputs.map(input => async () => vectors.push(await runtime.embed(input)))
      : work.documents.map(text => async () => scores.push(await runtime.rank(work.query, text)))
  const lengths =
    work.kind === 'embed'
      ? work.inputs.map((input, index) => runtime.measure(input, index))
      : work.documents.map((text, index) => runtime.measurePair(work.query, text, index))
  const tokens = lengths.reduce((sum, length) => sum + length, 0)
  let next = 0
  return {
    id,
    async step() {
      await parts[next++]?.()
      if (next < parts.length) return false
      send({ type: 'done', id, vectors, scores, tokens })
      return true
    }
  }
}
