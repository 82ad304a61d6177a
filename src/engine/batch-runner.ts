import type { Choice } from './active-request.js'
import { BackendError } from './backend.js'
import { type Interlude, type InterludeOptions, Interludes } from './interludes.js'
import { PromptReader, type PromptRow } from './prompt-reader.js'
import { type Chunk, rowsOf } from './scheduler/step-plan.js'
import type { Stream } from './scheduler/stream.js'

/**
 * Tokens become text, and are sent, once in so many milliseconds at most: a message wakes the server and its client, which
 * costs a short step a tenth of its time on two cores. First and last tokens do not wait, and none waits while a prompt
 * is taken in.
 */
const WRITE_EVERY = 10
/** Decodes that the library refuses in a row before the process gives up (its supervisor starts a fresh one). */
const MOST_REFUSED_DECODES = 3

export interface BatchRunnerOptions extends InterludeOptions {
  /** The backend refused to compute these streams. */
  onRefused: (streams: readonly Stream[], message: string) => void
  /** The pool is full, and there is nothing to evict or preempt. */
  onStuck: () => void
}

/** A row whose logits give a choice's next token. */
interface Output {
  choice: Choice
  row: number
}

/** The rows of a prompt whose logits are told. */
interface Reading {
  choice: Choice
  rows: PromptRow[]
}

/** Runs one batch of a step: fills the backend's, has it decoded, draws tokens. */
export class BatchRunner {
  private readonly reader: PromptReader
  private readonly interludes: Interludes
  private refusedDecodes = 0
  private wroteAt = Number.NEGATIVE_INFINITY

  constructor(private readonly options: BatchRunnerOptions) {
    this.reader = new PromptReader(options.backend, options.outbox)
    this.interludes = new Interludes(options)
  }

  /**
   * @param later what the step will compute after this.
   * @returns false when the rest of the plan no longer holds.
   * @throws what the backend refused with, when that was the third time in a row.
   */
  async run(chunks: readonly Chunk[], later: readonly Chunk[]): Promise<boolean> {
    const { scheduler, statistics, now } = this.options
    const { outputs, readings } = this.fill(chunks)
    const padding = scheduler.pad(chunks)
    const begun = now()
    const interlude = this.interludes.during(chunks, later, padding)
    const decoding = this.decode(chunks, interlude)
    this.writeLast(chunks, begun)
    let result: 'ok' | 'full'
    try {
      result = await decoding
      this.refusedDecodes = 0
    } catch (error) {
      this.refused(chunks, error)
      return false
    } finally {
      if (padding > 0) scheduler.unpad()
    }
    if (result === 'full') {
      if (!scheduler.makeRoom(rowsOf(chunks))) this.options.onStuck()
      return false
    }
    const ms = now() - begun
    scheduler.computed(chunks, ms - (interlude?.ms ?? 0), padding)
    statistics.stepDone(chunks, ms)
    if (interlude?.refused) this.refused(interlude.refused.chunks, interlude.refused.error)
    for (const { choice, rows } of readings) if (!choice.done) this.reader.tell(choice, rows)
    await this.draw(outputs)
    return true
  }

  /** Puts the rows of these chunks into the backend's batch. */
  private fill(chunks: readonly Chunk[]): { outputs: Output[]; readings: Reading[] } {
    const { backend, choiceOf } = this.options
    const { batch } = backend
    batch.clear()
    const outputs: Output[] = []
    const readings: Reading[] = []
    for (const { stream, from, count, output } of chunks) {
      const rows: PromptRow[] = []
      if (stream.reads) readings.push({ choice: choiceOf(stream) as Choice, rows })
      for (let i = 0; i < count; i++) {
        const position = from + i
        const last = output && i === count - 1
        const reads = stream.readsAt(position)
        const row = batch.add(stream.tokens.at(position), position, stream.sequence, last || reads)
        if (reads) rows.push({ row, position })
        if (last) outputs.push({ choice: choiceOf(stream) as Choice, row })
      }
    }
    return { outputs, readings }
  }

  private decode(chunks: readonly Chunk[], interlude: Interlude | null): Promise<'ok' | 'full'> {
    const { backend, scheduler } = this.options
    const prompt = scheduler.promptOf(chunks)
    return backend.decode({
      lanes: scheduler.mayTakeLanes(chunks),
      ...(prompt && { prompt }),
      ...(interlude && { breaks: interlude })
    })
  }

  /** The last tokens become text while this batch is computed. */
  private writeLast(chunks: readonly Chunk[], now: number): void {
    const { writer, outbox } = this.options
    if (!writer.waits) return
    if (!writer.urgent && !isLong(chunks) && now - this.wroteAt < WRITE_EVERY) return
    this.wroteAt = now
    writer.write()
    outbox.flush()
  }

  private async draw(outputs: readonly Output[]): Promise<void> {
    for (const { choice, row } of outputs) {
      if (choice.done) continue
      try {
        await this.options.drawer.draw(choice, row)
      } catch (error) {
        this.options.onDrawFailed(choice, error)
      }
    }
  }

  private refused(chunks: readonly Chunk[], error: unknown): void {
    const message = error instanceof BackendError ? error.message : String(error)
    this.options.onRefused(
      chunks.map(({ stream }) => stream),
      message
    )
    if (++this.refusedDecodes >= MOST_REFUSED_DECODES) throw error
  }
}

/** It computes more than next tokens: that can take far longer than tokens should wait. */
function isLong(chunks: readonly Chunk[]): boolean {
  return chunks.some(({ count }) => count > 1)
}
