import type { EventEmitter } from 'node:events'
import type { EngineConfig } from '../engine/messages.js'
import type { BackoffOptions } from './backoff.js'
import type { BreakerOptions } from './breaker.js'
import type { Clock } from './clock.js'
import type { ModelEvents } from './events.js'
import type { Logger } from './log.js'

/** Milliseconds. */
export interface Bounds {
  /** A load without any sign of progress is given up after this. */
  loadStallMs: number
  /** A process asked to end is killed after this. */
  exitMs: number
  /** Over failed starts that are tried again soon, callers are kept waiting this long before they are told. */
  patienceMs: number
  /** An engine that served this long was healthy: what happened before it is forgotten. */
  healthyMs: number
  /** An engine process that does not answer for this long, while somebody waits for it, is frozen and ended. */
  heartbeatMs: number
  /** One step of the engine may take this long; then the process is stuck and ended. 0: no limit. */
  stepMs: number
}

export const defaultBounds: Bounds = {
  loadStallMs: 120_000,
  exitMs: 5_000,
  patienceMs: 5_000,
  healthyMs: 60_000,
  heartbeatMs: 10_000,
  stepMs: 120_000
}

export interface ModelSpec {
  id: string
  /** The model's file. */
  file: string
  /** Asked for at every start: what fits may have changed. May throw a BackendError. */
  config: () => EngineConfig
}

export interface SupervisorOptions {
  /** The engine's program, a JavaScript file. */
  entry: string
  logger: Logger
  events: EventEmitter<ModelEvents>
  backoff?: Partial<BackoffOptions>
  breaker?: Partial<BreakerOptions>
  bounds?: Partial<Bounds>
  clock?: Clock
}
