import type { Choice } from './active-request.js'
import type { AnswerWriter } from './answer-writer.js'
import type { Backend, DecodeBreaks } from './backend.js'
import type { Outbox } from './outbox.js'
import type { Scheduler } from './scheduler/scheduler.js'
import { type Chunk, rowsOf } from './scheduler/step-plan.js'
import type { Stream } from './scheduler/stream.js'
import type { Statistics } from './statistics.js'
import type { TokenDrawer } from './token-drawer.js'

export interface InterludeOptions {
  backend: Backend
  scheduler: Scheduler
  drawer: TokenDrawer
  writer: AnswerWriter
  outbox: Outbox
  statistics: Statistics
  choiceOf: (stream: Stream) => Choice | undefined
  /** The choice's next token could not be drawn. */
  onDrawFailed: (choice: Choice, error: unknown) => void
  now: () => number
}

/**
 * Running streams get their next tokens while a prompt is being computed, in breaks of its decode: their gap is not
 * the length of a prompt's step, but that of its longest operation (docs/performance.md). Only streams whose next token
 * the backend can compute beside (`Backend.beside`); a constrained one when its mask is there.
 */
export class Interludes {
  constructor(private readonly options: InterludeOptions) {}

  /**
   * Of the decode of this batch, `padding` rows included; null: it has none.
   * @param later what its step computes after it: those streams have to wait for that.
   */
  during(chunks: readonly Chunk[], later: readonly Chunk[], padding: number): Interlude | null {
    const { backend, scheduler } = this.options
    if (!backend.beside) return null
    const expected = scheduler.expectedMs(chunks, padding)
    if (expected !== null && expected < scheduler.cadence.wait) return null
    const streams = scheduler.besides([...chunks, ...later])
    return streams.length === 0 ? null : new Interlude(this.options, streams, rowsOf(chunks) + padding)
  }
}

/** The next tokens within one decode. */
export class Interlude implements DecodeBreaks {
  /** Milliseconds that they took. */
  ms = 0
  /** What the backend refused; there are no more of them then. */
  refused: { chunks: Chunk[]; error: unknown } | null = null
  readonly after: number

  /** @param reserved cells that the decode takes. */
  constructor(
    private readonly options: InterludeOptions,
    private readonly streams: readonly Stream[],
    private readonly reserved: number
  ) {
    this.after = options.scheduler.cadence.wait
  }

  take(): number {
    const { now, scheduler } = this.options
    const begun = now()
    if (!this.refused) this.round()
    const took = now() - begun
    this.ms += took
    scheduler.cadence.gave(took)
    return scheduler.cadence.wait
  }

  private round(): void {
    const { scheduler, writer, outbox } = this.options
    const streams = this.streams.filter(stream => this.mayGoOn(stream))
    const room = scheduler.cells - scheduler.usedCells - this.reserved
    for (const group of scheduler.besideBatches(streams.slice(0, Math.max(0, room)))) {
      try {
        this.compute(group)
      } catch (error) {
        this.refused = { chunks: group, error }
        break
      }
    }
    writer.write()
    outbox.flush()
  }

  private mayGoOn(stream: Stream): boolean {
    const { scheduler, drawer, choiceOf } = this.options
    const choice = choiceOf(stream)
    return choice?.done === false && scheduler.isBeside(stream) && drawer.isReady(choice)
  }

  private compute(chunks: Chunk[]): void {
    const { backend, scheduler, statistics, drawer, choiceOf, onDrawFailed, now } = this.options
    const begun = now()
    backend.beside!.compute(
      chunks.map(({ stream, from }) => ({
        token: stream.tokens.at(from),
        position: from,
        sequence: stream.sequence
      }))
    )
    scheduler.computedBeside(chunks)
    statistics.stepDone(chunks, now() - begun)
    for (const [row, { stream }] of chunks.entries()) {
      const choice = choiceOf(stream) as Choice
      try {
        drawer.drawAtOnce(choice, row)
      } catch (error) {
        onDrawFailed(choice, error)
      }
    }
  }
}
