import type { Logger } from './log.js'
import { ModelUnavailableError } from './types.js'

/** A model as the memory plan sees it. */
export interface Resident {
  readonly id: string
  readonly pinned: boolean
  /** Somebody is served by it, or waits for it. */
  readonly inUse: boolean
  /** Clock time at which it last served somebody. */
  readonly lastUsed: number
  /** Bytes it takes when loaded. */
  bytes(): number
  /** Unloads it; its memory is free when this resolves. */
  evict(): Promise<unknown>
}

interface Waiting {
  resident: Resident
  resolve(): void
  reject(error: Error): void
}

export interface MemoryUse {
  /** Bytes that all models together may take. */
  budget: number
  /** Bytes that the loaded ones take, by estimate. */
  used: number
}

/**
 * Which models are in memory. A model asks before it is loaded; unpinned models that nobody uses make room, the least
 * recently used first. Who must wait does so in the order of asking: a large model is not overtaken for ever by
 * small ones.
 */
export class Residency {
  readonly #budget: () => number
  readonly #logger: Logger
  readonly #held = new Map<Resident, number>()
  readonly #queue: Waiting[] = []
  #pumping = false

  /** @param budget bytes; asked for whenever a model wants in */
  constructor(budget: () => number, logger: Logger) {
    this.#budget = budget
    this.#logger = logger
  }

  get use(): MemoryUse {
    return { budget: this.#budget(), used: this.#used }
  }

  holds(resident: Resident): boolean {
    return this.#held.has(resident)
  }

  /** Whether it can be loaded without anyone making room. */
  fitsBeside(resident: Resident): boolean {
    return this.#queue.length === 0 && this.#used + resident.bytes() <= this.#budget()
  }

  /**
   * Resolves when the model may be loaded: its memory is then held until `release`.
   * @throws ModelUnavailableError too_large, with the figures, when it can never fit
   */
  admit(resident: Resident): Promise<void> {
    if (this.#held.has(resident)) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#queue.push({ resident, resolve, reject })
      this.touched()
    })
  }

  release(resident: Resident): void {
    if (this.#held.delete(resident)) this.touched()
  }

  /**
   * The plan was too hopeful: something else took memory. Unloads the least recently used idle model.
   * @returns false when there is none
   */
  async makeRoom(resident: Resident): Promise<boolean> {
    const victim = this.#idleBeside(resident)[0]
    if (victim === undefined) return false
    this.#logger.warn({ model: victim.id, for: resident.id }, 'memory is short: unloading a model')
    await victim.evict()
    this.release(victim)
    return true
  }

  /** Something has changed: a model is idle now, memory was freed. */
  touched(): void {
    if (this.#pumping || this.#queue.length === 0) return
    this.#pumping = true
    void this.#pump().finally(() => {
      this.#pumping = false
    })
  }

  get #used(): number {
    let sum = 0
    for (const bytes of this.#held.values()) sum += bytes
    return sum
  }

  async #pump(): Promise<void> {
    for (;;) {
      const head = this.#queue[0]
      if (head === undefined) return
      const bytes = head.resident.bytes()
      const budget = this.#budget()
      if (bytes > budget - this.#pinnedBeside(head.resident)) {
        this.#queue.shift()
        head.reject(this.#tooLarge(head.resident, bytes, budget))
        continue
      }
      if (this.#used + bytes <= budget) {
        this.#queue.shift()
        this.#held.set(head.resident, bytes)
        head.resolve()
        continue
      }
      const victim = this.#victim(this.#used + bytes - budget)
      if (victim === undefined) return
      this.#logger.info({ model: victim.id, for: head.resident.id }, 'unloading a model to make room')
      await victim.evict()
      // Its own word that it is gone may come a turn later.
      this.#held.delete(victim)
    }
  }

  #pinnedBeside(resident: Resident): number {
    let sum = 0
    for (const [other, bytes] of this.#held) if (other.pinned && other !== resident) sum += bytes
    return sum
  }

  /** The least recently used idle model; none as long as all idle ones together are not enough. */
  #victim(missing: number): Resident | undefined {
    const idle = this.#idleBeside(null)
    const free = idle.reduce((sum, resident) => sum + (this.#held.get(resident) ?? 0), 0)
    return free < missing ? undefined : idle[0]
  }

  /** Those that could go, the least recently used first. */
  #idleBeside(resident: Resident | null): Resident[] {
    return [...this.#held.keys()]
      .filter(other => other !== resident && !other.pinned && !other.inUse)
      .sort((a, b) => a.lastUsed - b.lastUsed)
  }

  #tooLarge(resident: Resident, bytes: number, budget: number): ModelUnavailableError {
    const pinned = this.#pinnedBeside(resident)
    const kept = pinned > 0 ? `, of which pinned models keep ${size(pinned)}` : ''
    const message = `${resident.id} takes ${size(bytes)} of memory, models may take ${size(budget)}${kept}`
    return new ModelUnavailableError({ code: 'too_large', message }, null)
  }
}

function size(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`
}
