import type { EngineConfig } from '../engine/messages.js'

/** What a model gets when it is loaded now, and what that takes. */
export interface ModelPlan {
  config: EngineConfig
  /** Bytes of memory: weights, pool, buffers, RAM tier and the process. */
  bytes: number
}

export interface ModelOptions {
  /** Its name in the API. */
  id: string
  /** Further names; `*` answers to any name. */
  aliases?: readonly string[]
  /** The model's file. */
  file: string
  /** Decided anew for every load. May throw a BackendError. */
  plan(): ModelPlan
  /** Never unloaded to make room, nor for being idle. */
  pinned?: boolean
  /** Unloaded after being idle for so long, milliseconds; 0: never. Overrides those for all models. */
  ttlMs?: number
}

/** Milliseconds. */
export interface HostingTimes {
  /** How long a caller waits for a model to be loaded. */
  loadTimeoutMs: number
  /** Idle time after which a model is unloaded; 0: never. */
  ttlMs: number
  /** The same for models that were loaded because a request asked for them. */
  onDemandTtlMs: number
}

export const defaultHostingTimes: HostingTimes = {
  loadTimeoutMs: 120_000,
  ttlMs: 600_000,
  onDemandTtlMs: 300_000
}
