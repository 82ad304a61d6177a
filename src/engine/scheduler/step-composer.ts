import type { Backend } from '../backend.js'
import type { Cadence } from './cadence.js'
import type { ReproducibleShapes } from './chunking.js'
import { DecodeSplit } from './decode-split.js'
import { sharePromptRows } from './prompt-shares.js'
import type { StepBudget } from './step-budget.js'
import { type StepShape, TILED_ROWS } from './step-cost.js'
import { type Chunk, mostlyShared, rowsOf, shapeOf } from './step-plan.js'
import type { Stream } from './stream.js'

/** Mean position of running streams' rows up to which they are decoded apart from prompts on a CPU. */
const SHALLOW = 1024
/** Sum of their positions up to which it does not matter how deep they are: about 20 ms for all of them. */
const LITTLE = 16 * 1024

/** So many times a prompt's own cells are in use by others, and it had better not look at them. */
const CROWDED = 1.5

/** Logits that are read within one step, rows times vocabulary: about 10 ns each. */
const LOGITS_READ = 4e6

/** Divides the rows of a step among streams, and into batches. */
export class StepComposer {
  private readonly split: DecodeSplit

  constructor(
    private readonly backend: Backend,
    private readonly budget: StepBudget,
    private readonly shapes: ReproducibleShapes,
    private readonly cadence: Cadence
  ) {
    this.split = new DecodeSplit(backend.capabilities.smallDecodeMs ?? [])
  }

  /**
   * The batches of a step, in their order.
   *
   * @param active streams with something to compute.
   * @param room free cells: most rows of all batches together.
   * @param used cells that are not free.
   */
  compose(active: readonly Stream[], room: number, used: number): Chunk[][] {
    const { batchRows } = this.backend.capabilities
    let free = room
    const batches: Chunk[][] = []
    const add = (batch: Chunk[]) => {
      if (batch.length === 0) return
      free -= rowsOf(batch)
      batches.push(batch)
    }
    // A prompt whose logits are wanted, one at a time: a batch has few outputs, and each costs time to read.
    const reader = active.find(stream => stream.reads)
    const reproducible = active.filter(stream => stream.reproducible && !stream.reads)
    const others = active.filter(stream => !stream.reproducible && !stream.reads)
    for (const batch of this.batchesFor(others, batchRows, free, used)) add(batch)
    // The same numbers whatever else runs: in batches too small to matter, or each in one of its own.
    if (this.shapes.shared) add(this.batchesFor(reproducible, this.shapes.invariantRows, free, used).flat())
    else
      for (const stream of reproducible)
        add(chunkOf(stream, this.shapes.chunk(stream, Math.min(batchRows, free))))
    if (reader) add(chunkOf(reader, this.readerRows(reader, free)))
    return batches
  }

  /** Rows of a prompt whose logits are wanted: as many as can be read within some tens of milliseconds. */
  private readerRows(stream: Stream, free: number): number {
    const { batchRows, outputRows } = this.backend.capabilities
    const most = Math.min(free, batchRows, outputRows)
    if (stream.reproducible && !this.shapes.shared) return this.shapes.chunk(stream, most)
    const readable = Math.max(8, Math.floor(LOGITS_READ / this.backend.info.vocabularySize))
    const rows = Math.min(stream.behind, most, readable)
    return stream.reproducible ? Math.min(rows, this.shapes.invariantRows) : rows
  }

  /** Running streams' next tokens, then prompts within the step's budget: in one batch, or in two. */
  private batchesFor(streams: readonly Stream[], mostRows: number, free: number, used: number): Chunk[][] {
    const room = Math.min(mostRows, free)
    const running = streams.filter(stream => stream.decoding).slice(0, Math.max(0, room))
    const waiting = streams.filter(stream => !stream.decoding)
    const decodes = running.flatMap(stream => chunkOf(stream, 1))
    const shape = shapeOf(decodes)
    // What they have in common is read once for all rows of a batch, and once for each row that has one of its own.
    const deep = shape.depth >= shape.rows * SHALLOW
    const together = this.onCpu && deep && mostlyShared(shape.depth, used)
    if (waiting.length === 0) {
      this.cadence.given()
      return together ? [decodes] : this.decodeBatches(decodes)
    }
    const apart = this.onCpu && !together && this.decodesApart(shape)
    const depth = Math.max(...waiting.map(stream => stream.computed))
    const steady = apart && running.every(stream => this.isBeside(stream))
    const rest = Math.min(...waiting.map(stream => stream.behind))
    const wanted = this.budget.promptRows(shape, depth, { apart, steady, rest })
    const shares = sharePromptRows(waiting, Math.min(wanted, Math.max(0, room - decodes.length)))
    const prompts = waiting.flatMap((stream, i) => chunkOf(stream, shares[i] as number))
    // Their next tokens will be due in the middle of the prompts.
    if (running.length > 0 && steady && prompts.length > 0 && this.cadence.wait > 0)
      return this.promptBatches(prompts, used)
    this.cadence.given()
    if (!apart) return [[...decodes, ...prompts]]
    return [...this.decodeBatches(decodes), ...this.promptBatches(prompts, used)]
  }

  /** Prompts that gain much from a backend's prompt lane have a batch each. */
  private promptBatches(prompts: Chunk[], used: number): Chunk[][] {
    const { promptLaneCells = 0 } = this.backend.capabilities
    const gains = ({ from, count }: Chunk) =>
      count >= TILED_ROWS && from + count < promptLaneCells && used - from > CROWDED * from
    return prompts.every(gains) ? prompts.map(chunk => [chunk]) : [prompts]
  }

  /** Its next token needs no batch of its own: it can be computed in breaks of the prompts' (interludes.ts). */
  isBeside(stream: Stream): boolean {
    const { decoding, paused, reproducible, sequence, computed } = stream
    if (!decoding || paused || reproducible) return false
    return this.backend.beside?.takes(sequence, computed) ?? false
  }

  /** In which batches these streams' next tokens are best computed beside a decode. */
  besideBatches(streams: readonly Stream[]): Chunk[][] {
    return this.decodeBatches(streams.flatMap(stream => chunkOf(stream, 1)))
  }

  /** Next tokens. A few streams that have outgrown the backend's lanes should not keep the others out of them. */
  private decodeBatches(decodes: readonly Chunk[]): Chunk[][] {
    const { laneCells } = this.backend.capabilities
    if (laneCells === undefined) return this.split.divide(decodes)
    const short = decodes.filter(({ from }) => from < laneCells)
    const long = decodes.filter(({ from }) => from >= laneCells)
    if (!this.split.mayPart(short.length, long.length)) return this.split.divide(decodes)
    return [short, long].flatMap(group => this.split.divide(group))
  }

  private get onCpu(): boolean {
    return this.backend.info.device === 'CPU'
  }

  /**
   * On a CPU prompt rows go over tiles of cells, and skip a tile that none of 64 rows looks at; rows of other streams
   * among them make every tile count. Running streams that are not deep then have a decode of their own in each step;
   * deep ones gain more from the tiles (docs/performance.md), unless they are so few that their tokens had better not
   * come a prompt's part later.
   */
  private decodesApart({ rows, depth }: StepShape): boolean {
    const { laneCells = 0 } = this.backend.capabilities
    return depth < Math.max(rows * Math.max(SHALLOW, laneCells), LITTLE)
  }
}

function chunkOf(stream: Stream, count: number): Chunk[] {
  if (count <= 0) return []
  return [{ stream, from: stream.computed, count, output: stream.computed + count === stream.tokens.length }]
}
