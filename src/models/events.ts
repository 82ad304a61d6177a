import type { EngineStats, LoadFailure } from '../engine/messages.js'
import type { BreakerState } from './breaker.js'
import type { EngineExit } from './engine-process.js'
import type { Model, ModelState } from './types.js'

/** What happens to models and their engines, for logs and metrics. One emitter serves all models of a registry. */
export interface ModelEvents {
  state: [{ model: Model; from: ModelState; to: ModelState; failure: LoadFailure | null }]
  /** 0..1 */
  progress: [{ model: Model; fraction: number }]
  stats: [{ model: Model; stats: EngineStats }]
  /** A serving engine ended without being asked to. */
  died: [{ model: Model; exit: EngineExit }]
  /** The next start is planned; 0: at once. */
  restart: [{ model: Model; delayMs: number; failure: LoadFailure }]
  breaker: [{ model: Model; from: BreakerState; to: BreakerState }]
}
