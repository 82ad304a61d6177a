import type { HostedModel } from './hosted-model.js'
import type { Logger } from './log.js'
import type { Names } from './names.js'
import type { Residency } from './residency.js'
import { ModelUnavailableError } from './types.js'

export interface SwapResult {
  from: string
  to: string
  /** The names that moved. */
  aliases: string[]
  /** Both were in memory at the same time: no request had to wait. */
  beside: boolean
  totalMs: number
  /** For how long requests for the names had to wait. */
  heldMs: number
}

export type SwapFailure = 'not_found' | 'same' | 'in_progress' | 'name_taken' | 'busy' | 'load_failed'

export class SwapError extends Error {
  constructor(
    readonly reason: SwapFailure,
    message: string,
    /** Why the new model, or (`rolledBack` false) the old one again, could not be loaded. */
    readonly failure: ModelUnavailableError | null = null,
    /** The old model serves as before. */
    readonly rolledBack = true,
    /** The name that was not found. */
    readonly model: string | null = null
  ) {
    super(message)
    this.name = 'SwapError'
  }
}

export interface SwapOptions {
  names: Names
  residency: Residency
  logger: Logger
  now(): number
}

/** Puts one model in the place of another. One swap at a time. */
export class Swapper {
  readonly #options: SwapOptions
  #swapping = false
  /** Unloaded when their last request has ended. */
  readonly #retiring = new Set<HostedModel>()

  constructor(options: SwapOptions) {
    this.#options = options
  }

  get swapping(): boolean {
    return this.#swapping
  }

  /**
   * Names that meant `from` mean `to` afterwards; no request is aborted. When memory allows, the new model is loaded
   * beside the old one, which goes when its last request has ended. Otherwise requests for the names wait while the
   * old one finishes, spills its caches and makes room; a load that fails brings it back.
   * @param alias the one name to move; all aliases of `from` by default
   * @param timeoutMs how long the old model's requests may keep the new one waiting
   * @throws SwapError
   */
  async swap(from: string, to: string, alias: string | undefined, timeoutMs: number): Promise<SwapResult> {
    if (this.#swapping) throw new SwapError('in_progress', 'another swap is under way')
    const { names, residency, logger, now } = this.#options
    const old = this.#get(from)
    const fresh = this.#get(to)
    if (old === fresh) throw new SwapError('same', `${from} and ${to} are the same model`)
    if (alias !== undefined && !names.isMovable(alias)) {
      throw new SwapError('name_taken', `${alias} is the id of a model, and cannot mean another one`)
    }
    const aliases = alias === undefined ? [...old.aliases] : [alias]
    this.#swapping = true
    this.#retiring.delete(fresh)
    const began = now()
    try {
      const beside = old.state === 'unloaded' || fresh.state === 'ready' || residency.fitsBeside(fresh)
      logger.info({ from: old.id, to: fresh.id, aliases, beside }, 'swap begins')
      const move = () => names.move(aliases, old, fresh)
      const heldMs = beside
        ? await this.#beside(old, fresh, move)
        : await this.#inTurn(old, fresh, move, timeoutMs)
      const result = { from: old.id, to: fresh.id, aliases, beside, totalMs: round(now() - began), heldMs }
      logger.info(result, 'swapped')
      return result
    } catch (error) {
      logger.warn({ from: old.id, to: fresh.id, err: error }, 'swap failed')
      throw error
    } finally {
      this.#swapping = false
    }
  }

  #get(name: string): HostedModel {
    const model = this.#options.names.get(name)
    if (model === undefined) throw new SwapError('not_found', `no model is called ${name}`, null, true, name)
    return model
  }

  async #beside(old: HostedModel, fresh: HostedModel, move: () => void): Promise<number> {
    await fresh.load().catch(error => {
      throw new SwapError('load_failed', loadFailed(fresh, error), asUnavailable(error))
    })
    move()
    void this.#retire(old)
    return 0
  }

  /** Not waited for: its requests may take their time. Whoever asks for it by its own id keeps it. */
  async #retire(old: HostedModel): Promise<void> {
    this.#retiring.add(old)
    await old.idle()
    // Another swap may have brought it back.
    if (this.#retiring.delete(old) && old.isReady) await old.evict()
  }

  async #inTurn(old: HostedModel, fresh: HostedModel, move: () => void, timeoutMs: number): Promise<number> {
    const { now } = this.#options
    // A file that cannot be read is found out before anything is given up for it.
    try {
      fresh.assertReadable()
    } catch (error) {
      throw new SwapError('load_failed', loadFailed(fresh, error), asUnavailable(error))
    }
    const began = now()
    const letIn = old.hold()
    try {
      if (!(await within(old.idle(), timeoutMs))) {
        throw new SwapError('busy', `requests of ${old.id} did not end within ${timeoutMs} ms`)
      }
      await old.unload({ timeoutMs })
      try {
        await fresh.load()
      } catch (error) {
        throw await this.#rollBack(old, fresh, error)
      }
      move()
      return round(now() - began)
    } finally {
      letIn()
    }
  }

  async #rollBack(old: HostedModel, fresh: HostedModel, error: unknown): Promise<SwapError> {
    const failure = asUnavailable(error)
    const message = loadFailed(fresh, error)
    try {
      await fresh.unload({ timeoutMs: 0 })
      await old.load()
      return new SwapError('load_failed', `${message}; ${old.id} is back`, failure)
    } catch (second) {
      return new SwapError('load_failed', `${message}; and ${loadFailed(old, second)}`, failure, false)
    }
  }
}

function loadFailed(model: HostedModel, error: unknown): string {
  return `${model.id} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`
}

function asUnavailable(error: unknown): ModelUnavailableError | null {
  return error instanceof ModelUnavailableError ? error : null
}

function round(ms: number): number {
  return Math.round(ms)
}

/** Whether a promise settles in time. */
async function within(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>(resolve => {
    timer = setTimeout(() => resolve(false), ms)
  })
  try {
    return await Promise.race([promise.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
