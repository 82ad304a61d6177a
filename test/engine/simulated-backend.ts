import type {
  Backend,
  Batch,
  BesideDecoder,
  Capabilities,
  DecodeOptions,
  ModelInfo,
  Sampler,
  SamplerParams
} from '../../src/engine/backend.js'

interface Cell {
  position: number
  token: number
  sequences: Set<number>
}

interface Row {
  token: number
  position: number
  sequence: number
  output: boolean
}

export interface SimulatedOptions {
  /** Default `attention`. A window forgets nothing here; running states behave as llama.cpp's do. */
  memory?: Capabilities['memory']
  cells?: number
  sequenceIds?: number
  batchRows?: number
  vocabularySize?: number
  trainingContext?: number
  invariantRows?: number
  device?: string
  /** See Capabilities. */
  smallDecodeMs?: readonly number[]
  /** Every decode has so many breaks, in which any stream's next token can be computed; default 0. */
  breaks?: number
  /** Milliseconds of real time per decode; 0: only a turn of the event loop. */
  delay?: number
}

/**
 * A backend without a model, for tests of scheduler and cache. It keeps real cells with real owners, and what it
 * generates is a function of every token that the sequence sees: a prefix that is missing, doubled or another's gives
 * another text or an error, never silence. It refuses what llama.cpp would abort on.
 */
export class SimulatedBackend implements Backend {
  readonly capabilities: Capabilities
  readonly info: ModelInfo
  readonly batch: Batch & { rows: Row[] }
  readonly beside?: BesideDecoder
  decodes = 0
  /** Next tokens that were computed in breaks. */
  besides = 0
  mostUsedCells = 0
  /** Set to make the next decodes fail. */
  failing: Error | null = null
  /** Cells up to the highest used one, as the last decode found them: what attention on a CPU goes over. */
  span = 0
  private readonly pool = new Set<Cell>()
  /** By their place: the lowest free one is taken, as llama.cpp does. */
  private readonly places: Array<Cell | undefined> = []
  private readonly delay: number
  /** Running states: what a sequence has been through up to a position. They come and go with no cell. */
  private readonly states = new Map<number, { position: number; hash: number }>()
  private outputs = new Map<number, number>()
  private readonly breaks: number
  private readonly computing = new Set<number>()

  constructor(options: SimulatedOptions = {}) {
    const { cells = 1024, sequenceIds = 32, batchRows = 64, vocabularySize = 128 } = options
    const trainingContext = options.trainingContext ?? cells
    this.delay = options.delay ?? 0
    this.breaks = options.breaks ?? 0
    if (this.breaks > 0) this.beside = this.besideDecoder()
    this.capabilities = {
      layout: 'unified',
      sharesCells: true,
      joinsBlobs: true,
      memory: options.memory ?? 'attention',
      window: options.memory === 'window' ? 16 : 0,
      cells,
      cellsPerSequence: Math.min(cells, trainingContext),
      sequenceIds,
      batchRows,
      outputRows: batchRows,
      invariantRows: options.invariantRows ?? 0,
      ...(options.smallDecodeMs && { smallDecodeMs: options.smallDecodeMs }),
      bytesPerCell: 8
    }
    this.info = {
      path: '/simulated.gguf',
      name: 'simulated',
      description: 'simulated',
      architecture: 'simulated',
      parameters: 0,
      bytes: 0,
      trainingContext,
      embeddingLength: 1,
      vocabularySize,
      chatTemplate: null,
      bosText: '',
      eosText: '',
      addsBos: false,
      tokenizer: 'simulated',
      device: options.device ?? 'none',
      libraryVersion: '0',
      fingerprint: 'simulated'
    }
    this.batch = new SimulatedBatch(this.capabilities)
  }

  async decode({ breaks }: DecodeOptions = {}): Promise<'ok' | 'full'> {
    if (this.delay > 0) await new Promise(resolve => setTimeout(resolve, this.delay))
    else await new Promise(resolve => setImmediate(resolve))
    if (this.failing) throw this.failing
    this.decodes++
    const { rows } = this.batch
    if (!this.hasRoom(rows.length)) return 'full'
    const outputs = this.compute(rows)
    for (const { sequence } of rows) this.computing.add(sequence)
    for (let i = 0; breaks && i < this.breaks; i++) breaks.take()
    this.computing.clear()
    this.outputs = outputs
    this.mostUsedCells = Math.max(this.mostUsedCells, this.usedCells())
    this.span = this.places.findLastIndex(cell => cell !== undefined) + 1
    return 'ok'
  }

  /** Outputs by row. */
  private compute(rows: readonly Row[]): Map<number, number> {
    const outputs = new Map<number, number>()
    for (const [index, row] of rows.entries()) {
      if (row.position !== this.maxPosition(row.sequence) + 1) {
        throw new Error(
          `position ${row.position} of sequence ${row.sequence} follows ${this.maxPosition(row.sequence)}`
        )
      }
      this.place({ position: row.position, token: row.token, sequences: new Set([row.sequence]) })
      this.advance(row)
      if (row.output) outputs.set(index, nextToken(this.history(row.sequence), this.info.vocabularySize))
    }
    return outputs
  }

  private besideDecoder(): BesideDecoder {
    return {
      takes: (sequence, position) => position === this.maxPosition(sequence) + 1,
      compute: rows => {
        if (!this.hasRoom(rows.length)) throw new Error('no room beside')
        if (rows.length === 0) throw new Error('no rows')
        if (rows.some(row => this.computing.has(row.sequence))) throw new Error('its own decode is running')
        this.outputs = this.compute(rows.map(row => ({ ...row, output: true })))
        this.besides += rows.length
      }
    }
  }

  logits(row: number): Float32Array {
    const logits = new Float32Array(this.info.vocabularySize)
    logits[this.outputs.get(row) as number] = 10
    return logits
  }

  createSampler(_params: SamplerParams): Sampler {
    return {
      sample: row => {
        const token = this.outputs.get(row)
        if (token === undefined) throw new Error(`row ${row} has no output`)
        return token
      },
      accept() {},
      free() {}
    }
  }

  copyRange(from: number, to: number, p0: number, p1: number): void {
    this.checkId(from)
    this.checkId(to)
    for (const cell of this.cellsOf(from, p0, p1)) cell.sequences.add(to)
    // Of the range the library takes no notice.
    const state = this.states.get(from)
    if (state) this.states.set(to, { ...state })
  }

  removeRange(sequence: number, p0: number, p1: number): boolean {
    this.checkId(sequence)
    const state = this.states.get(sequence)
    if (state && p0 > 0 && p0 <= state.position) return false
    this.states.delete(sequence)
    for (const cell of this.cellsOf(sequence, p0, p1)) {
      cell.sequences.delete(sequence)
      if (cell.sequences.size > 0) continue
      this.pool.delete(cell)
      this.places[this.places.indexOf(cell)] = undefined
    }
    return true
  }

  minPosition(sequence: number): number {
    const cells = this.cellsOf(sequence)
    if (this.remembersState) return this.states.get(sequence)?.position ?? -1
    return cells.length === 0 ? -1 : Math.min(...cells.map(cell => cell.position))
  }

  maxPosition(sequence: number): number {
    const last = Math.max(-1, ...this.cellsOf(sequence).map(cell => cell.position))
    return this.remembersState ? Math.min(last, this.states.get(sequence)?.position ?? -1) : last
  }

  usedCells(): number {
    return this.capabilities.memory === 'recurrent' ? -1 : this.pool.size
  }

  stateBytes(sequence: number): number {
    return 8 * this.cellsOf(sequence).length + (this.remembersState ? STATE_BYTES : 0)
  }

  saveState(sequence: number, into: Uint8Array): number {
    const cells = this.cellsOf(sequence).sort((a, b) => a.position - b.position)
    const bytes = this.stateBytes(sequence)
    if (into.length < bytes) return 0
    const view = new DataView(into.buffer, into.byteOffset)
    const state = this.states.get(sequence)
    if (state) into.set(encodeState(state), 8 * cells.length)
    for (const [i, cell] of cells.entries()) {
      view.setInt32(8 * i, cell.position)
      view.setInt32(8 * i + 4, cell.token)
    }
    return bytes
  }

  restoreState(sequence: number, from: Uint8Array): number {
    this.removeRange(sequence, 0, -1)
    const end = from.length - (this.remembersState ? STATE_BYTES : 0)
    if (!this.hasRoom(end / 8)) return 0
    if (this.remembersState) this.states.set(sequence, decodeState(from.subarray(end)))
    const view = new DataView(from.buffer, from.byteOffset)
    for (let i = 0; i < end; i += 8) {
      this.place({
        position: view.getInt32(i),
        token: view.getInt32(i + 4),
        sequences: new Set([sequence])
      })
    }
    return from.length
  }

  /** One token per byte. */
  async tokenize(text: string): Promise<Int32Array> {
    return Int32Array.from(Buffer.from(text))
  }

  piece(token: number): Uint8Array {
    return Uint8Array.of(token)
  }

  isEndOfGeneration(token: number): boolean {
    return token === 0
  }

  dispose(): void {
    this.pool.clear()
  }

  private get remembersState(): boolean {
    return this.capabilities.memory === 'recurrent' || this.capabilities.memory === 'hybrid'
  }

  /** States take no cells. */
  private hasRoom(rows: number): boolean {
    return this.capabilities.memory === 'recurrent' || this.pool.size + rows <= this.capabilities.cells
  }

  /** A state that is not the one of the tokens before a row would give wrong text without an error: here it gives one. */
  private advance({ sequence, position }: Row): void {
    if (!this.remembersState) return
    const history = this.history(sequence)
    const before = position === 0 ? undefined : this.states.get(sequence)
    const expected = hashOf(history.slice(0, position))
    if (position > 0 && (before?.hash !== expected || before.position !== position - 1)) {
      throw new Error(`sequence ${sequence} at ${position} goes on from another state`)
    }
    this.states.set(sequence, { position, hash: hashOf(history) })
  }

  /** What a sequence sees, position by position. */
  private history(sequence: number): number[] {
    const cells = this.cellsOf(sequence)
    const tokens: number[] = new Array(cells.length).fill(-1)
    for (const { position, token } of cells) {
      if (position >= cells.length) throw new Error(`sequence ${sequence} has a hole before ${position}`)
      if (tokens[position] !== -1) throw new Error(`sequence ${sequence} holds position ${position} twice`)
      tokens[position] = token
    }
    return tokens
  }

  private place(cell: Cell): void {
    const free = this.places.indexOf(undefined)
    if (free === -1) this.places.push(cell)
    else this.places[free] = cell
    this.pool.add(cell)
  }

  private cellsOf(sequence: number, p0 = 0, p1 = -1): Cell[] {
    const cells: Cell[] = []
    for (const cell of this.pool) {
      if (cell.sequences.has(sequence) && cell.position >= p0 && (p1 < 0 || cell.position < p1))
        cells.push(cell)
    }
    return cells
  }

  private checkId(sequence: number): void {
    if (!(sequence >= 0 && sequence < this.capabilities.sequenceIds))
      throw new Error(`llama.cpp aborts: id ${sequence}`)
  }
}

/** The model: the next token depends on all tokens before it. Token 0 ends the text. */
export function nextToken(history: ArrayLike<number>, vocabularySize: number): number {
  return (hashOf(history) >>> 8) % vocabularySize
}

const STATE_BYTES = 8

function encodeState({ position, hash }: { position: number; hash: number }): Uint8Array {
  const bytes = new Uint8Array(STATE_BYTES)
  const view = new DataView(bytes.buffer)
  view.setInt32(0, position)
  view.setUint32(4, hash)
  return bytes
}

function decodeState(bytes: Uint8Array): { position: number; hash: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return { position: view.getInt32(0), hash: view.getUint32(4) }
}

function hashOf(history: ArrayLike<number>): number {
  let hash = 2166136261
  for (let i = 0; i < history.length; i++)
    hash = Math.imul(hash ^ ((history[i] as number) + 1), 16777619) >>> 0
  return hash
}

/** What a request must generate, computed without batch, cache or pool. */
export function expectedAnswer(prompt: ArrayLike<number>, maxTokens: number, vocabularySize = 128): number[] {
  const tokens = Array.from(prompt)
  const answer: number[] = []
  while (answer.length < maxTokens) {
    const token = nextToken(tokens, vocabularySize)
    if (token === 0) break
    answer.push(token)
    tokens.push(token)
  }
  return answer
}

class SimulatedBatch implements Batch {
  rows: Row[] = []
  readonly capacity: number

  constructor(private readonly capabilities: Capabilities) {
    this.capacity = capabilities.batchRows
  }

  get length(): number {
    return this.rows.length
  }

  clear(): void {
    this.rows = []
  }

  add(token: number, position: number, sequence: number, output: boolean): number {
    if (this.rows.length >= this.capacity) throw new RangeError('the batch is full')
    if (!(sequence >= 0 && sequence < this.capabilities.sequenceIds)) throw new RangeError(`id ${sequence}`)
    this.rows.push({ token, position, sequence, output })
    return this.rows.length - 1
  }
}
