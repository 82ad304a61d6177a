import {
  type EmbeddingInput,
  type EmbeddingModel,
  EmbeddingRefusal,
  type RefusalReason
} from '../../src/embeddings/types.js'

export interface FakeEmbeddings extends EmbeddingModel {
  /** What it was given, in order. */
  readonly asked: EmbeddingInput[][]
  refusal: RefusalReason | null
  failure: Error | null
  /** Resolves when the caller has gone; set: nothing is answered before. */
  hold: Promise<void> | null
  aborted: number
}

/** Vectors of 4 numbers: the input's length, normalised. */
export function fakeEmbeddings(kind: 'embedding' | 'rerank' = 'embedding'): FakeEmbeddings {
  const answer = async (signal: AbortSignal) => {
    signal.addEventListener('abort', () => {
      fake.aborted += 1
    })
    if (fake.refusal) throw new EmbeddingRefusal(fake.refusal)
    if (fake.failure) throw fake.failure
    if (fake.hold !== null) await fake.hold
    signal.throwIfAborted()
  }
  const fake: FakeEmbeddings = {
    id: 'vectors',
    created: 1_700_000_000,
    state: 'unloaded',
    info: {
      path: '/models/vectors.gguf',
      architecture: 'bert',
      dimensions: 4,
      context: 512,
      vocabularySize: 1000,
      bytes: 5,
      kind
    },
    asked: [],
    refusal: null,
    failure: null,
    hold: null,
    aborted: 0,
    async embed(inputs, signal) {
      fake.asked.push(inputs)
      await answer(signal)
      const vectors = inputs.map(({ length }) =>
        Float32Array.of(length, 0, 0, 1).map(v => v / Math.hypot(length, 1))
      )
      return { vectors, tokens: inputs.reduce((sum, { length }) => sum + length, 0) }
    },
    async rank(query, documents, signal) {
      fake.asked.push([query, ...documents])
      await answer(signal)
      return { scores: documents.map(({ length }) => 1 / (1 + length)), tokens: 7 }
    }
  }
  return fake
}
