import path from 'node:path'
import { defaultCacheFolder, defaultDiskBytes, defaultRamBytes } from '../cache-store/defaults.js'
import type { Config } from '../config.js'
import type { EngineConfig, TierConfig } from '../engine/messages.js'
import {
  type MachineFigures,
  type ModelFigures,
  planCells,
  planParallel,
  planThreads
} from '../models/memory.js'

/** What the engine of one model is told: the settings, with everything that is `auto` decided. */
export function engineConfig(
  config: Config,
  file: string,
  model: ModelFigures,
  machine: MachineFigures
): EngineConfig {
  const contextCells = config.ctxSize === 'auto' ? planCells(model, machine) : config.ctxSize
  return {
    model: file,
    contextCells,
    parallel:
      config.parallel === 'auto' ? planParallel(contextCells || model.trainingContext) : config.parallel,
    batchRows: config.batchSize,
    threads: config.threads === 'auto' ? planThreads(machine) : config.threads,
    gpuLayers: config.gpuLayers,
    cacheTypeK: config.cacheTypeK,
    cacheTypeV: config.cacheTypeV,
    flashAttention: config.flashAttn,
    loadMode: config.loadMode,
    lanes: config.lanes === 'auto',
    blockSize: config.blockSize,
    maxQueue: config.maxQueue,
    maxQueuedTokens: config.maxQueuedTokens === 0 ? null : config.maxQueuedTokens,
    reproducible: config.reproducible,
    targetItlMs: config.targetItl,
    tiers: tierConfig(config),
    checkEveryStep: false
  }
}

const MIB = 1024 * 1024

/** The folder of all models' prefixes on disk. */
export function prefixFolder({ cacheDir }: Pick<Config, 'cacheDir'>): string {
  return path.join(cacheDir || defaultCacheFolder(), 'prefixes')
}

/** Where prefixes go when they leave the pool. */
export function tierConfig({ cacheRam, cacheDisk, cacheDir, cacheWriteBudget }: Config): TierConfig {
  const folder = prefixFolder({ cacheDir })
  const capBytes = cacheDisk === 'auto' ? defaultDiskBytes(folder) : cacheDisk * MIB
  return {
    ramBytes: cacheRam === 'auto' ? defaultRamBytes() : cacheRam * MIB,
    disk: capBytes > 0 ? { folder, capBytes, dailyWriteBytes: cacheWriteBudget * MIB || null } : null
  }
}

/** So many models may divide what `auto` gives; more are seldom in memory together. */
const MOST_SHARES = 4
/** Less is no use: a few pieces of a large model. Bytes. */
const LEAST_RAM = 32 * MIB

/**
 * The RAM tier of one model among several: what the setting says for each, or its share of what `auto` gives for all;
 * no more than the memory that all models may take leaves beside this one, and none where that is hardly any.
 * @param models how many there are, loaded or not
 * @param room bytes
 */
export function shareOfRam(tiers: TierConfig, auto: boolean, models: number, room: number): TierConfig {
  const wanted = auto ? Math.floor(tiers.ramBytes / Math.min(models, MOST_SHARES)) : tiers.ramBytes
  const ramBytes = Math.max(0, Math.min(wanted, Math.floor(room)))
  return { ...tiers, ramBytes: ramBytes < Math.min(wanted, LEAST_RAM) ? 0 : ramBytes }
}

/** The name of a model in the API where no alias says otherwise: `owner/repo:quant`, or that of its file. */
export function modelName(spec: string, file: string): string {
  const repository = /^(?:hf|huggingface):(?:\/\/)?([^/]+\/[^/]+)$/.exec(spec)?.[1]
  return repository ?? path.basename(file).replace(/\.gguf$/i, '')
}
