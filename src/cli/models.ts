import { readdirSync } from 'node:fs'
import path from 'node:path'
import { UsageError } from '../config/errors.js'
import { defaultModel } from '../config/settings.js'
import type { Config } from '../config.js'
import type { EngineConfig } from '../engine/messages.js'
import { laneBytes } from '../llama/lanes.js'
import { promptLaneBytes } from '../llama/prompt-lane.js'
import { type MachineFigures, type ModelFigures, readModelFigures } from '../models/memory.js'
import type { ModelOptions } from '../models/registry.js'
import { packageRoot } from '../root.js'
import { engineConfig, modelName, shareOfRam } from './engine-config.js'

/** What an engine process takes beside its model: Node, its heap, the library. */
const PROCESS_BYTES = 64 * 1024 * 1024

/** What the settings say about one model. `file` is what `--model` takes: it may have to be downloaded. */
export interface ModelEntry {
  file: string
  /** Id first, further names after it; may be empty. */
  names: readonly string[]
  /** Settings of this model alone. */
  own: Partial<Pick<Config, 'ctxSize' | 'parallel'>>
  ttl?: number
  pinned?: boolean
}

/** All models that the settings name, the default one first. @throws UsageError */
export function modelEntries(config: Config): ModelEntry[] {
  const named: ModelEntry[] = config.model.map((file, at) => ({
    file,
    names: at === 0 ? config.alias : [],
    own: {}
  }))
  const described = config.models.map(entry => ({
    file: entry.model,
    names: entry.alias === undefined ? [] : [entry.alias].flat(),
    own: {
      ...(entry['ctx-size'] === undefined ? {} : { ctxSize: entry['ctx-size'] }),
      ...(entry.parallel === undefined ? {} : { parallel: entry.parallel })
    },
    ttl: entry.ttl,
    pinned: entry.pinned
  }))
  const found = config.modelsDir === '' ? [] : modelsIn(config.modelsDir)
  const entries = [...named, ...described, ...found]
  if (entries.length > 0) return entries
  if (config.modelsDir !== '') throw new UsageError(`--models-dir: ${config.modelsDir} holds no GGUF file`)
  return [{ file: path.join(packageRoot(), 'models', defaultModel), names: config.alias, own: {} }]
}

/** Of a split model the first part only; projectors of vision models are no models. */
function modelsIn(folder: string): ModelEntry[] {
  let names: string[]
  try {
    names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  } catch (error) {
    throw new UsageError(`--models-dir: cannot read ${folder} (${(error as NodeJS.ErrnoException).code})`)
  }
  return names
    .filter(name => /\.gguf$/i.test(name) && !/(^|[/\\])mmproj/i.test(name))
    .filter(name => !/-\d{5}-of-\d{5}\.gguf$/i.test(name) || /-00001-of-\d{5}\.gguf$/i.test(name))
    .sort()
    .map(name => ({ file: path.join(folder, name), names: [], own: {} }))
}

/**
 * @param files the entries' files on this machine, in their order
 * @param machine as it is before any model is loaded
 */
export function modelOptions(
  config: Config,
  entries: readonly ModelEntry[],
  files: readonly string[],
  machine: MachineFigures
): ModelOptions[] {
  const taken = new Set(entries.flatMap(entry => entry.names))
  return entries.map((entry, at) => {
    const file = files[at]!
    const [id = freeName(entry.file, file, taken), ...aliases] = entry.names
    const settings = { ...config, ...entry.own }
    return {
      id,
      aliases,
      file,
      pinned: entry.pinned,
      ttlMs: entry.ttl === undefined ? undefined : entry.ttl * 1000,
      plan() {
        const figures = readModelFigures(file, {
          batchRows: config.batchSize,
          cacheTypeK: config.cacheTypeK,
          cacheTypeV: config.cacheTypeV,
          flashAttention: config.flashAttn
        })
        const engine = engineConfig(settings, file, figures, machine)
        const cells = engine.contextCells || figures.trainingContext
        const context = figures.fixed + figures.perCell * cells + lanesOf(engine, figures, machine)
        const bytes = PROCESS_BYTES + figures.weights + context
        if (engine.tiers === undefined) return { config: engine, bytes }
        const room = memoryBudget(config, machine) - bytes
        const tiers = shareOfRam(engine.tiers, config.cacheRam === 'auto', entries.length, room)
        return { config: { ...engine, tiers }, bytes: bytes + tiers.ramBytes }
      }
    }
  })
}

/** Bytes of the copies that a CPU's engine keeps of running streams and prompts (lanes.ts, prompt-lane.ts). */
function lanesOf(
  { gpuLayers, parallel, lanes }: EngineConfig,
  { perCell, trainingContext, fixed }: ModelFigures,
  machine: MachineFigures
): number {
  const onCpu = gpuLayers === 0 || (machine.gpuMemory === null && process.platform !== 'darwin')
  if (!onCpu || lanes === false || parallel < 2) return 0
  return laneBytes(parallel, perCell, trainingContext) + promptLaneBytes(perCell, trainingContext, fixed)
}

/** Two files in different folders may have one name: the second is called by its folder as well. */
function freeName(spec: string, file: string, taken: Set<string>): string {
  const name = modelName(spec, file)
  const longer = `${path.basename(path.dirname(file))}/${name}`
  const free = [name, longer].find(candidate => !taken.has(candidate)) ?? file
  taken.add(free)
  return free
}

/** Bytes that all models together may take. */
export function memoryBudget(config: Config, machine: MachineFigures): number {
  return config.memoryBudget || machine.memory + (machine.gpuMemory ?? 0)
}
