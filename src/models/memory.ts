/**
 * What a model gets when nobody says: cells of the pool, streams, threads. `plan...` are pure functions of figures;
 * `read...` get the figures from the model file and the machine.
 */
import { execFileSync, type StdioOptions } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import os from 'node:os'
import { metadataNumber, metadataString } from '../llama/gguf.js'
import { maxSequenceIds } from '../llama/layout.js'
import { availableMemory, type ContextShape, estimateContext } from '../llama/memory.js'
import { readModelFiles } from '../llama/model-file.js'

export interface ModelFigures {
  /** Bytes of the model's files. */
  weights: number
  /** Bytes a context takes beside its cells. */
  fixed: number
  /** Bytes per cell. */
  perCell: number
  /** Tokens; 0 when unknown. */
  trainingContext: number
}

export interface MachineFigures {
  /** Bytes of main memory that can still be had. */
  memory: number
  /** Free bytes of GPUs with memory of their own; null where there is none, or where it is main memory (Apple). */
  gpuMemory: number | null
  /** Cores that compute: performance cores, not hyper-threads. */
  cores: number
}

/** Cells that are worth having for any model: several agents with long prompts. */
const usualCells = 32_768
/** With so many the model stays on the GPU alone; for more cells no layer is moved to the slow side. */
const enoughCells = 8_192
/** Fewer are no use; if even these do not fit, loading fails and says why. */
const fewestCells = 2_048
/** Share of the room that the pool may fill: the rest is for the other programs of the user. */
const share = 0.5
/** Share of the room that is spent without hesitation on a context as long as the model was trained for. */
const cheapShare = 0.25
/** A pool of more than this many times what one request may use helps nobody. */
const mostFullRequests = 32

/**
 * The default size of the pool. Half of what the weights leave free at most; 32,768 cells, and beyond that up to the
 * training context as long as that takes no more than a quarter.
 *
 * For example an 8B model in 4 bits (4.9 GB, 128 KiB a cell) gets about 24,000 cells on a 16 GB Mac and 80,000 on one
 * with 64 GB; a 0.5B model (12 KiB a cell) gets its 32,768 anywhere.
 */
export function planCells(model: ModelFigures, machine: MachineFigures): number {
  const needed = model.weights + model.fixed
  if (machine.gpuMemory === null) return cellsIn(machine.memory - needed, model)
  const onGpu = cellsIn(machine.gpuMemory - needed, model)
  if (onGpu >= enoughCells) return onGpu
  // Some layers, with their part of the pool, will lie in main memory.
  const onBoth = cellsIn(machine.memory + machine.gpuMemory - needed, model)
  return Math.max(onGpu, Math.min(usualCells, onBoth))
}

/** @param room bytes that weights and buffers leave free */
function cellsIn(room: number, model: ModelFigures): number {
  const possible = (share * room) / model.perCell
  const cheap = Math.min(model.trainingContext, (cheapShare * room) / model.perCell)
  const wanted = Math.max(usualCells, cheap)
  const useful = model.trainingContext > 0 ? mostFullRequests * model.trainingContext : wanted
  return Math.max(fewestCells, roundDown(Math.min(possible, wanted, useful), 256))
}

/** Streams at once: 16 serve a person with several agents; each should have room for a short conversation. */
export function planParallel(cells: number): number {
  return Math.max(1, Math.min(16, Math.floor(cells / 512)))
}

/** One core stays free: llama.cpp's threads wait for each other by spinning, and crawl when one has no core. */
export function planThreads(machine: MachineFigures): number {
  return Math.max(1, machine.cores - 1)
}

/**
 * @param context what will be asked of llama.cpp
 * @throws BackendError when the file is damaged or holds no model
 */
export function readModelFigures(
  file: string,
  context: Pick<ContextShape, 'batchRows' | 'cacheTypeK' | 'cacheTypeV' | 'flashAttention'>
): ModelFigures {
  const files = readModelFiles(file)
  const header = files[0]!.header
  const architecture = metadataString(header, 'general.architecture')
  const tokens = header.metadata.get('tokenizer.ggml.tokens')
  const vocabularySize = typeof tokens === 'object' ? tokens.length : 0
  const estimate = (cells: number) =>
    estimateContext(header, vocabularySize, {
      ...context,
      cells,
      sequenceIds: maxSequenceIds,
      outputRows: Math.min(maxSequenceIds, context.batchRows)
    }).total
  return {
    weights: files.reduce((sum, part) => sum + part.header.fileBytes, 0),
    fixed: estimate(0),
    perCell: Math.max(1, estimate(1) - estimate(0)),
    trainingContext: metadataNumber(header, `${architecture}.context_length`) ?? 0
  }
}

/** @param gpu whether the model may use a GPU */
export function readMachine(gpu: boolean): MachineFigures {
  return { memory: availableMemory(), gpuMemory: gpu ? nvidiaMemory() : null, cores: computingCores() }
}

/** Free memory of all NVIDIA GPUs, bytes. Of others nothing is known without loading their drivers. */
function nvidiaMemory(): number | null {
  const free = ask('nvidia-smi', ['--query-gpu=memory.free', '--format=csv,noheader,nounits'])
    .split('\n')
    .map(Number)
    .filter(mebibytes => mebibytes > 0)
  return free.length === 0 ? null : free.reduce((sum, mebibytes) => sum + mebibytes * 2 ** 20, 0)
}

function computingCores(): number {
  const usable = os.availableParallelism()
  if (process.platform === 'darwin') {
    return Number(ask('sysctl', ['-n', 'hw.perflevel0.physicalcpu'])) || usable
  }
  return Math.min(usable, physicalCores() || usable)
}

/** Hyper-threads share the core's arithmetic units. 0: unknown. */
function physicalCores(): number {
  const folder = '/sys/devices/system/cpu'
  try {
    const siblings = readdirSync(folder)
      .filter(name => /^cpu\d+$/.test(name))
      .map(name => readFileSync(`${folder}/${name}/topology/thread_siblings_list`, 'utf8'))
    return new Set(siblings).size
  } catch {
    return 0
  }
}

/** What a program prints; '' when it is not there or fails. */
function ask(program: string, args: string[]): string {
  try {
    const stdio: StdioOptions = ['ignore', 'pipe', 'ignore']
    return execFileSync(program, args, { encoding: 'utf8', timeout: 3000, stdio }).trim()
  } catch {
    return ''
  }
}

function roundDown(value: number, step: number): number {
  return Math.floor(value / step) * step
}
