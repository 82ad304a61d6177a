import type { EngineStats, LoadFailure } from '../engine/messages.js'
import type { BreakerState } from './breaker.js'
import type { EngineExit } from './engine-process.js'
import type { SupervisedModel } from './supervisor.js'
import type { ModelState } from './types.js'

/** What happens to models and their engines, for logs and metrics. One emitter serves all models of a registry. */
export interface ModelEvents {
  state: [{ model: SupervisedModel; from: ModelState; to: ModelState; failure: LoadFailure | null }]
  /** 0..1 */
  progress: [{ model: SupervisedModel; fraction: number }]
  stats: [{ model: SupervisedModel; stats: EngineStats }]
  /** A serving engine ended without being asked to. */
  died: [{ model: SupervisedModel; exit: EngineExit }]
  /** The next start is planned; 0: at once. */
  restart: [{ model: SupervisedModel; delayMs: number; failure: LoadFailure }]
  /** A loaded model was asked for one token before it takes requests. */
  verified: [{ model: SupervisedModel; ok: boolean; ms: number }]
  breaker: [{ model: SupervisedModel; from: BreakerState; to: BreakerState }]
}
