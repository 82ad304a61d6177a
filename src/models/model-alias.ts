import type { Capabilities, ModelInfo } from '../engine/backend.js'
import type { EngineStats, LoadFailure } from '../engine/messages.js'
import type { BreakerState } from './breaker.js'
import type { HostedModel } from './hosted-model.js'
import type { Engine, LoadStatus, Model, ModelState, Vocabulary } from './types.js'

/**
 * A name that may be moved to another model while requests for it wait: they get the one that it means in the end.
 */
export class ModelAlias implements Model {
  readonly #target: () => HostedModel

  constructor(target: () => HostedModel) {
    this.#target = target
  }

  get id(): string {
    return this.#target().id
  }

  get aliases(): readonly string[] {
    return this.#target().aliases
  }

  get created(): number {
    return this.#target().created
  }

  get state(): ModelState {
    return this.#target().state
  }

  get progress(): number {
    return this.#target().progress
  }

  get loading(): LoadStatus | null {
    return this.#target().loading
  }

  get failure(): LoadFailure | null {
    return this.#target().failure
  }

  get info(): ModelInfo | null {
    return this.#target().info
  }

  get capabilities(): Capabilities | null {
    return this.#target().capabilities
  }

  get stats(): EngineStats | null {
    return this.#target().stats
  }

  get restarts(): number {
    return this.#target().restarts
  }

  get breaker(): BreakerState {
    return this.#target().breaker
  }

  get full(): boolean {
    return this.#target().full
  }

  async engine(): Promise<Engine> {
    for (;;) {
      const target = this.#target()
      if (target.isHeld) await target.opened()
      else {
        const engine = await target.engine()
        if (target === this.#target()) return engine
      }
    }
  }

  vocabulary(): Promise<Vocabulary | null> {
    return this.#target().vocabulary()
  }
}
