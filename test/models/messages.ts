/** Made-up values of the messages between server and engine. */
import type { Capabilities, ModelInfo } from '../../src/engine/backend.js'
import type { EngineConfig, EngineStats, GenerationRequest } from '../../src/engine/messages.js'
import { plainRequest } from '../../src/engine/plain-request.js'

export function engineConfig(behaviour: Record<string, string | number> = {}): EngineConfig {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(behaviour)) query.set(name, String(value))
  return {
    model: `/fake?${query}`,
    contextCells: 1000,
    parallel: 4,
    batchRows: 512,
    threads: 1,
    gpuLayers: 0,
    cacheTypeK: 'f16',
    cacheTypeV: 'f16',
    flashAttention: 'auto',
    blockSize: 64,
    maxQueue: 16,
    maxQueuedTokens: null,
    reproducible: false,
    checkEveryStep: false
  }
}

/** `keep`: the fake engine admits the request and leaves it running. */
export function generationRequest(tenant: 'keep' | '' = ''): GenerationRequest {
  return {
    ...plainRequest,
    prompt: [{ type: 'text', text: 'hello', parseSpecial: true, addSpecial: true }],
    maxTokens: 3,
    sampling: { ...plainRequest.sampling, seed: 1 },
    cachePrompt: true,
    tenant
  }
}

export function modelInfo(path: string): { info: ModelInfo; capabilities: Capabilities } {
  return {
    info: {
      path,
      name: 'fake',
      description: 'fake 1M',
      architecture: 'llama',
      parameters: 1e6,
      bytes: 1e6,
      trainingContext: 2048,
      embeddingLength: 8,
      vocabularySize: 100,
      chatTemplate: null,
      bosText: '<s>',
      eosText: '</s>',
      addsBos: false,
      tokenizer: 'gpt2',
      device: 'CPU',
      libraryVersion: '0',
      fingerprint: '00'
    },
    capabilities: {
      layout: 'unified',
      sharesCells: true,
      joinsBlobs: true,
      memory: 'attention',
      window: 0,
      cells: 4096,
      cellsPerSequence: 2048,
      sequenceIds: 256,
      batchRows: 512,
      outputRows: 64,
      invariantRows: 1,
      bytesPerCell: 100
    }
  }
}

export function poolStats(running: number): EngineStats {
  return {
    running,
    waiting: 0,
    waitingTokens: 0,
    pool: { cells: 4096, usedCells: 0, idleCells: 0, blockSize: 64, sequenceIds: 256, usedSequenceIds: 0 },
    counters: {
      steps: 0,
      promptTokens: 0,
      generatedTokens: 0,
      cachedTokens: { resident: 0, ram: 0, disk: 0 },
      evictedCells: 0,
      spilledBytes: 0,
      diskWrittenBytes: 0,
      restoredBytes: 0,
      preemptions: 0,
      admitted: 0,
      rejected: { full: 0, tooLong: 0, draining: 0, invalid: 0 },
      cancelled: 0,
      failed: 0
    },
    lastStep: { ms: 0, rows: 0 },
    stepTimes: { bounds: [1, 10], counts: [0, 0, 0], sum: 0 },
    memoryBytes: 0
  }
}
