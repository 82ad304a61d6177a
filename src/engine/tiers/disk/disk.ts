import type { Allocation, Arena } from '../arena.js'
import type { PieceHash, PieceMeta } from '../piece.js'
import { PieceIndex } from '../piece-index.js'
import { FAULT_KINDS, type Fault, type FaultKind } from './faults.js'
import { newEngineId } from './names.js'
import type { CoreOptions, FolderState, FoundPiece, FromWorker, WriteOutcome } from './protocol.js'
import { WorkerLink, type WorkerPort } from './worker-link.js'

export interface DiskEntry extends PieceMeta {
  /** Size of the blob. */
  readonly bytes: number
  readonly anchor: boolean
  /** Still to be written: the blob is in memory. */
  pending: Allocation | null
}

export interface DiskOptions extends Omit<CoreOptions, 'engine'> {
  arena: Arena
  cuttable?: boolean
  /** Most bytes of blobs waiting to be written; what comes beyond is left out. */
  queueBytes: number
  /** Called once for each kind of fault. */
  onFault?: (fault: Fault) => void
  /** A read that takes longer is a miss. Default 5000 ms. */
  readTimeoutMs?: number
  spawn?: () => WorkerPort
}

export interface DiskStats {
  capBytes: number
  /** Bytes of all models' files in the cache folder, rounded up to 4 KiB each. */
  totalBytes: number
  /** Of these, this model's. */
  modelBytes: number
  pieces: number
  /** Token ids that the index keeps in memory, bytes. */
  indexBytes: number
  queuedBytes: number
  /** By this engine since its start, and by all engines on the folder today (UTC). */
  writtenBytes: number
  writtenToday: number
  writtenPieces: number
  readBytes: number
  readPieces: number
  evicted: number
  superseded: number
  /** Writes left out, by reason. */
  skipped: Record<'budget' | 'too_large' | 'no_room' | 'queue_full' | 'paused', number>
  faults: Record<FaultKind, number>
  /** Milliseconds that building the index took; null until then. */
  indexMs: number | null
  /** Writing stands still (no space, read-only, budget) until this time, ms since 1970; null: it does not. */
  pausedUntil: number | null
}

interface WriteItem {
  entry: DiskEntry
  allocation: Allocation
  cancelled: boolean
}

const FIRST_PAUSE_MS = 30_000
const LONGEST_PAUSE_MS = 600_000
const BUDGET_PAUSE_MS = 60_000
const TOUCH_DELAY_MS = 5_000

/**
 * The engine's side of the disk tier: the index, what waits to be written, the counters. All I/O is the worker's.
 * Writes go one by one, so that a read never waits for more than one.
 */
export class DiskTier {
  readonly index = new PieceIndex<DiskEntry>()
  /** Resolves when the index is complete; lookups before that simply miss. */
  readonly ready: Promise<void>
  readonly #options: DiskOptions
  readonly #engine = newEngineId()
  readonly #link: WorkerLink
  readonly #queue: WriteItem[] = []
  /** Pieces that were used since the disk was told, and how often. */
  readonly #touched = new Map<PieceHash, number>()
  readonly #foreign = new Set<PieceHash>()
  readonly #idle: Array<() => void> = []
  #queuedBytes = 0
  #writing: WriteItem | null = null
  #touchTimer: NodeJS.Timeout | undefined
  #becomeReady!: () => void
  #folder: FolderState = { totalBytes: 0, modelBytes: 0, writtenToday: 0 }
  #indexBytes = 0
  #pausedUntil = 0
  #pauseMs = FIRST_PAUSE_MS
  #indexMs: number | null = null
  #closing = false
  readonly #counts = { written: 0, writtenBytes: 0, read: 0, readBytes: 0, evicted: 0, superseded: 0 }
  readonly #skipped = { budget: 0, too_large: 0, no_room: 0, queue_full: 0, paused: 0 }
  readonly #faults = Object.fromEntries(FAULT_KINDS.map(kind => [kind, 0])) as Record<FaultKind, number>

  constructor(options: DiskOptions) {
    this.#options = options
    this.ready = new Promise(resolve => {
      this.#becomeReady = resolve
    })
    this.#link = new WorkerLink({
      spawn: options.spawn,
      onMessage: message => this.#onMessage(message),
      onDeath: (message, again) => this.#onWorkerDeath(message, again)
    })
    this.#open()
  }

  #open(): void {
    const { folder, fingerprint, label, capBytes, dailyWriteBytes } = this.#options
    const engine = this.#engine
    this.#link.post({
      type: 'open',
      options: { folder, fingerprint, engine, label, capBytes, dailyWriteBytes }
    })
  }

  /** Touches the pages of fresh memory on the worker's thread. */
  warm(slab: SharedArrayBuffer): Promise<unknown> {
    return this.#link.ask({ type: 'warm', slab })
  }

  /** Whether another model's folder holds this piece. */
  isForeign(hash: PieceHash): boolean {
    return this.#foreign.has(hash)
  }

  /**
   * Has a blob written, holding its allocation until that is done. From now on it is in the index.
   * @param urgent before what waits already.
   * @returns false when it is left out.
   */
  write(meta: PieceMeta, allocation: Allocation, flags: { anchor: boolean; urgent: boolean }): boolean {
    const { arena } = this.#options
    if (this.#closing || this.index.get(meta.hash)) return false
    if (Date.now() < this.#pausedUntil) return this.#skip('paused')
    if (!this.hasRoomFor(allocation.bytes)) return this.#skip('queue_full')
    const { root, parent, hash, start, tokens } = meta
    const entry: DiskEntry = {
      ...{ root, parent, hash, start, tokens },
      bytes: allocation.bytes,
      anchor: flags.anchor,
      pending: allocation
    }
    arena.retain(allocation)
    this.#add(entry)
    this.#queuedBytes += allocation.bytes
    const item = { entry, allocation, cancelled: false }
    if (flags.urgent) this.#queue.unshift(item)
    else this.#queue.push(item)
    this.#writeNext()
    return true
  }

  /** Whether a blob of this size may wait to be written. One always may. */
  hasRoomFor(bytes: number): boolean {
    return this.#queuedBytes === 0 || this.#queuedBytes + bytes <= this.#options.queueBytes
  }

  #skip(reason: keyof DiskStats['skipped']): false {
    this.#skipped[reason]++
    return false
  }

  /**
   * Reads a blob into an allocation of its size.
   * @returns false when it is a miss after all; the reason is counted.
   */
  async read(entry: DiskEntry, into: Allocation): Promise<boolean> {
    const { arena } = this.#options
    arena.retain(into)
    const { root, parent, hash, start, tokens } = entry
    const answer = this.#link
      .ask({
        type: 'read',
        meta: { root, parent, hash, start, tokens },
        segments: arena.segments(into)
      })
      .finally(() => arena.release(into))
    const reply = await timeLimit(answer, this.#options.readTimeoutMs ?? 5000)
    const outcome = reply?.type === 'read' ? reply.outcome : 'io'
    if (outcome === 'ok') {
      this.#counts.read++
      this.#counts.readBytes += entry.bytes
      return true
    }
    // What the worker reports by itself is counted there.
    if (outcome === 'collision' || !reply) this.#fault({ kind: outcome, path: '', message: 'read failed' })
    if (outcome !== 'no_handles') this.#drop(entry)
    return false
  }

  /** Counts as used, so that it is evicted later; told to the disk now and then. */
  touch(hash: PieceHash): void {
    this.#touched.set(hash, (this.#touched.get(hash) ?? 0) + 1)
    this.#touchTimer ??= setTimeout(() => this.#sendTouched(), TOUCH_DELAY_MS).unref()
  }

  #sendTouched(): void {
    clearTimeout(this.#touchTimer)
    this.#touchTimer = undefined
    if (this.#touched.size > 0) this.#link.post({ type: 'touch', hits: [...this.#touched] })
    this.#touched.clear()
  }

  /** Removes everything of this model, or what belongs to one root. */
  clear(root?: PieceHash): number {
    const gone = [...this.index.values()].filter(entry => root === undefined || entry.root === root)
    this.#removeNow(gone)
    return gone.length
  }

  /** Takes entries out of the index and the files off the disk; a write that has begun is undone when it is done. */
  #removeNow(entries: DiskEntry[]): void {
    const items = [...this.#queue, ...(this.#writing ? [this.#writing] : [])]
    const doomed = new Set(entries)
    for (const item of items) if (doomed.has(item.entry)) item.cancelled = true
    for (const entry of entries) this.#drop(entry)
    if (entries.length > 0) this.#link.post({ type: 'remove', hashes: entries.map(entry => entry.hash) })
  }

  /** Waits until all that is queued is written, and all that is to be removed is gone, at most `ms`. */
  async settle(ms: number): Promise<boolean> {
    return (await timeLimit(this.#settled(), ms)) ?? false
  }

  async #settled(): Promise<true> {
    if (this.#writing || this.#queue.length > 0) await new Promise<void>(resolve => this.#idle.push(resolve))
    await this.#link.ask({ type: 'sync' })
    return true
  }

  /** Gives up what is not written, tells the disk what was used, ends the worker. */
  async close(): Promise<void> {
    this.#closing = true
    this.#dropQueue()
    this.#sendTouched()
    await timeLimit(this.#link.ask({ type: 'close' }), 1000)
    await this.#link.end()
    this.#becomeReady()
  }

  /** Lets writing go on although it was paused: at the end there is no later. */
  resume(): void {
    this.#pausedUntil = 0
  }

  stats(): DiskStats {
    const { totalBytes, modelBytes, writtenToday } = this.#folder
    return {
      capBytes: this.#options.capBytes,
      totalBytes,
      modelBytes,
      pieces: this.index.size,
      indexBytes: this.#indexBytes,
      queuedBytes: this.#queuedBytes,
      writtenBytes: this.#counts.writtenBytes,
      writtenToday,
      writtenPieces: this.#counts.written,
      readBytes: this.#counts.readBytes,
      readPieces: this.#counts.read,
      evicted: this.#counts.evicted,
      superseded: this.#counts.superseded,
      skipped: { ...this.#skipped },
      faults: { ...this.#faults },
      indexMs: this.#indexMs,
      pausedUntil: Date.now() < this.#pausedUntil ? this.#pausedUntil : null
    }
  }

  // --- writing -------------------------------------------------------------------------------------------------

  #writeNext(): void {
    while (!this.#writing) {
      const item = this.#queue.shift()
      if (!item) {
        for (const resolve of this.#idle.splice(0)) resolve()
        return
      }
      if (item.cancelled) this.#finish(item)
      else this.#start(item)
    }
  }

  #start(item: WriteItem): void {
    this.#writing = item
    const { root, parent, hash, start, tokens, anchor, bytes } = item.entry
    const supersedes = this.#supersededBy(item.entry).map(old => old.hash)
    void this.#link
      .ask({
        type: 'write',
        ...{ meta: { root, parent, hash, start, tokens }, anchor, bytes, supersedes },
        segments: this.#options.arena.segments(item.allocation)
      })
      .then(reply => {
        this.#writing = null
        this.#finish(item)
        if (reply?.type === 'wrote') this.#wrote(item, reply.outcome, reply.bytes, reply.state)
        else this.#drop(item.entry)
        this.#writeNext()
      })
  }

  /** The item's memory is not needed any more. */
  #finish(item: WriteItem): void {
    item.entry.pending = null
    this.#queuedBytes -= item.allocation.bytes
    this.#options.arena.release(item.allocation)
  }

  #wrote(item: WriteItem, outcome: WriteOutcome, bytes: number, state: FolderState): void {
    this.#folder = state
    if (item.cancelled) {
      this.#link.post({ type: 'remove', hashes: [item.entry.hash] })
      return
    }
    if (outcome === 'written' || outcome === 'known') {
      if (outcome === 'written') this.#counts.written++
      this.#counts.writtenBytes += bytes
      this.#pauseMs = FIRST_PAUSE_MS
      const old = this.#supersededBy(item.entry)
      this.#counts.superseded += old.length
      this.#removeNow(old)
      return
    }
    this.#drop(item.entry)
    if (outcome === 'budget' || outcome === 'too_large' || outcome === 'no_room') this.#skip(outcome)
    if (outcome === 'budget') this.#pause(BUDGET_PAUSE_MS)
    if (outcome === 'no_space' || outcome === 'read_only') {
      this.#pause(this.#pauseMs)
      this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS)
    }
  }

  #supersededBy(entry: DiskEntry): DiskEntry[] {
    const cuttable = this.#options.cuttable ?? true
    const old = cuttable ? this.index.superseded(entry) : this.index.supersededWhole(entry)
    return old.filter(({ pending }) => !pending)
  }

  #pause(ms: number): void {
    this.#pausedUntil = Date.now() + ms
    this.#skipped.paused += this.#queue.length
    this.#dropQueue()
  }

  #dropQueue(): void {
    for (const item of this.#queue.splice(0)) {
      this.#finish(item)
      this.#drop(item.entry)
    }
  }

  // --- the index -----------------------------------------------------------------------------------------------

  #add(entry: DiskEntry): void {
    this.index.add(entry)
    this.#indexBytes += entry.tokens.byteLength
  }

  #drop(entry: DiskEntry): void {
    if (this.index.get(entry.hash) !== entry) return
    this.index.remove(entry)
    this.#indexBytes -= entry.tokens.byteLength
  }

  #onMessage(message: FromWorker): void {
    switch (message.type) {
      case 'found':
        this.#found(message.pieces)
        break
      case 'ready':
        this.#folder = message.state
        this.#indexMs = message.ms
        for (const hash of message.foreign) this.#foreign.add(hash)
        this.#removeLeftOvers()
        this.#becomeReady()
        break
      case 'gone':
        if (message.why === 'evicted') this.#counts.evicted += message.hashes.length
        if (message.why === 'superseded') this.#counts.superseded += message.hashes.length
        for (const hash of message.hashes) {
          const entry = this.index.get(hash)
          if (entry && !entry.pending) this.#drop(entry)
        }
        break
      case 'fault':
        this.#fault(message.fault)
        break
    }
  }

  #found(pieces: FoundPiece[]): void {
    for (const { blobBytes, ...piece } of pieces) {
      if (!this.index.get(piece.hash)) this.#add({ ...piece, bytes: blobBytes, pending: null })
    }
  }

  /** Tails that a longer piece made superfluous, whose removal the last engine did not live to see. */
  #removeLeftOvers(): void {
    const old = new Set<DiskEntry>()
    for (const entry of this.index.values()) {
      if (!entry.pending) for (const tail of this.#supersededBy(entry)) old.add(tail)
    }
    this.#counts.superseded += old.size
    this.#removeNow([...old])
  }

  #fault(fault: Fault): void {
    if (this.#faults[fault.kind]++ === 0) this.#options.onFault?.(fault)
  }

  /** What was under way has failed by now. */
  #onWorkerDeath(message: string, again: boolean): void {
    this.#fault({ kind: 'worker', path: this.#options.folder, message })
    this.#dropQueue()
    for (const entry of [...this.index.values()]) this.#drop(entry)
    if (again) this.#open()
    else {
      this.#pausedUntil = Number.POSITIVE_INFINITY
      this.#becomeReady()
    }
  }
}

/** The promise's value, or null when it takes longer. */
async function timeLimit<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>(resolve => {
    timer = setTimeout(() => resolve(null), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
