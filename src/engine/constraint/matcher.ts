/** One constrained stream, on the engine's thread. */
import { ConstraintFailedError } from './errors.js'
import { applyMask, maskAllows } from './mask.js'
import { ALL_ALLOWED, createState, NOTHING_ALLOWED, STATUS, VERSION } from './protocol.js'

/**
 * Per token: `mask(logits)`, draw, `accept(token)`. The next mask is made on the constraint thread meanwhile; all tokens
 * accepted in one turn of the event loop go there as one message.
 */
export interface Matcher {
  /** The mask for the next token is there. */
  readonly isReady: boolean
  /** A token that ends the answer has been accepted: nothing may follow. */
  readonly isDone: boolean
  /**
   * Resolves when the mask is there.
   * @throws ConstraintFailedError when it does not come in time (milliseconds), or cannot.
   */
  whenReady(timeoutMs: number): Promise<void>
  /**
   * Writes -Infinity to every token that may not come next. Waits for the mask, blocking the thread, `waitMs` at most.
   * @param logits one float per token of the vocabulary.
   * @returns false, with nothing written, when the mask is not there yet: `whenReady`, then again.
   * @throws ConstraintFailedError
   */
  mask(logits: Float32Array, waitMs?: number): boolean
  /** False: the mask does not allow the token, nothing has changed. Only while the mask is there. */
  accept(token: number): boolean
  free(): void
}

/** What a matcher needs of its service. */
export interface MatcherHost {
  vocabularySize: number
  stopTokens: ReadonlySet<number>
  accepted(matcher: StreamMatcher, token: number): void
  freed(matcher: StreamMatcher): void
  /** The mask did not come: the thread is stuck at this matcher, or at another one. */
  late(matcher: StreamMatcher): void
}

const DEFAULT_WAIT_MS = 2

export class StreamMatcher implements Matcher {
  readonly state: Int32Array
  /** Accepted so far: what another thread needs to catch up. */
  readonly tokens: number[] = []
  isDone = false
  private failure: string | null = null
  private freed = false

  get hasFailed(): boolean {
    return this.failure !== null
  }

  constructor(
    readonly id: number,
    private readonly host: MatcherHost
  ) {
    this.state = createState(host.vocabularySize)
  }

  get isReady(): boolean {
    return Atomics.load(this.state, VERSION) === this.tokens.length + 1
  }

  fail(message: string): void {
    this.failure ??= message
  }

  async whenReady(timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs
    for (;;) {
      this.check()
      if (this.isReady) return
      if (performance.now() >= until) break
      await new Promise(resolve => setTimeout(resolve, 1))
    }
    this.host.late(this)
    this.check()
    throw new ConstraintFailedError(`no mask within ${timeoutMs} ms`)
  }

  mask(logits: Float32Array, waitMs = DEFAULT_WAIT_MS): boolean {
    this.check()
    if (!this.isReady && !this.wait(waitMs)) return false
    const status = this.state[STATUS]
    if (status === NOTHING_ALLOWED) throw new ConstraintFailedError('no token can follow')
    if (status !== ALL_ALLOWED) applyMask(logits, this.state)
    return true
  }

  accept(token: number): boolean {
    this.check()
    if (!this.isReady) throw new ConstraintFailedError('a token was accepted before its mask was there')
    if (this.isDone || !maskAllows(this.state, token)) return false
    this.tokens.push(token)
    if (this.host.stopTokens.has(token)) this.isDone = true
    else this.host.accepted(this, token)
    return true
  }

  free(): void {
    if (this.freed) return
    this.freed = true
    this.host.freed(this)
  }

  private wait(ms: number): boolean {
    const until = performance.now() + ms
    for (let left = ms; left > 0; left = until - performance.now()) {
      const seen = Atomics.load(this.state, VERSION)
      if (this.isReady) return true
      Atomics.wait(this.state, VERSION, seen, left)
    }
    return this.isReady
  }

  private check(): void {
    if (this.freed) throw new ConstraintFailedError('the matcher has been freed')
    if (this.failure !== null) throw new ConstraintFailedError(this.failure)
  }
}
