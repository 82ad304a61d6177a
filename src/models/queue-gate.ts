import type { QueueState, Verdict } from '../engine/messages.js'
import { ReturnTimes } from '../engine/return-times.js'

/**
 * Refuses on behalf of an engine whose queue is full, without asking it: under a storm of retries that question costs
 * more than the answers that are being computed.
 *
 * Only the engine knows when it is full, so the gate closes when the engine has said so. From then on it is enough to
 * count: every request comes from here, and the queue has room again as soon as fewer wait than may. What is counted
 * is never less than what the engine counts against the bound (a request counts from its submission until news of its
 * start is here), so the gate may open a moment late, by the time of a message, and the engine always has the last word.
 */
export class QueueGate {
  /** Choices of requests that were submitted, and have not started. */
  #waiting = 0
  #closed: QueueState | null = null
  readonly #returns: ReturnTimes

  constructor(now: () => number = () => performance.now()) {
    this.#returns = new ReturnTimes(now)
  }

  submitted(choices: number): void {
    this.#waiting += choices
  }

  /** They have started, or are over before that. */
  left(choices: number): void {
    this.#waiting -= choices
  }

  verdict(verdict: Verdict): void {
    if (verdict.kind !== 'full' || verdict.reason !== 'queue' || verdict.queue === undefined) return
    this.#closed = verdict.queue
    this.#returns.told(verdict.retryAfterMs)
  }

  /** An answer is complete. `last`: nobody else is here. */
  finished(last: boolean): void {
    this.#returns.onFinish()
    if (last) this.#returns.onIdle()
  }

  /** A request that came now would be refused. */
  get closed(): boolean {
    if (this.#closed !== null && (this.#waiting === 0 || this.#waiting < this.#closed.maxWaiting)) {
      this.#closed = null
    }
    return this.#closed !== null
  }

  /** What the engine would say; null: ask it. */
  refusal(running: number): Extract<Verdict, { kind: 'full' }> | null {
    if (!this.closed || this.#closed === null) return null
    const retryAfterMs = this.#returns.comeBack(this.#waiting)
    return {
      kind: 'full',
      retryAfterMs,
      reason: 'queue',
      queue: { ...this.#closed, running, waiting: this.#waiting }
    }
  }
}
