import path from 'node:path'
import type { Logger } from 'pino'
import { defaultEmbeddingModel } from '../config/settings.js'
import type { Config } from '../config.js'
import { SupervisedEmbedder } from '../embeddings/supervisor.js'
import { ModelFileError } from '../models/download.js'
import { planThreads, readMachine } from '../models/memory.js'
import { packageRoot } from '../root.js'
import { modelName } from './engine-config.js'

/** Where the model for /v1/embeddings or /v1/rerank is to be had; null: there is none. */
export function embeddingModelSource({ embeddingModel }: Config): string | null {
  if (embeddingModel === 'none') return null
  if (embeddingModel !== defaultEmbeddingModel) return embeddingModel
  return path.join(packageRoot(), 'models', defaultEmbeddingModel)
}

/**
 * The model under supervision; nothing is loaded yet.
 * @param file where its file lies on this machine
 * @throws ModelFileError when it is no embedding model
 */
export function createEmbedder(config: Config, file: string, logger: Logger): SupervisedEmbedder {
  try {
    return new SupervisedEmbedder({
      id: modelName(config.embeddingModel, file),
      file,
      threads: config.threads === 'auto' ? planThreads(readMachine(false)) : config.threads,
      gpu: config.gpuLayers !== 0,
      logger
    })
  } catch (error) {
    throw new ModelFileError(`--embedding-model: ${error instanceof Error ? error.message : String(error)}`)
  }
}
