import type { Segment } from '../arena.js'
import type { PieceHash, PieceMeta } from '../piece.js'
import type { Fault, FaultKind } from './faults.js'

/** What the engine's thread and the disk worker say to each other. */
export interface CoreOptions {
  /** The folder of all models' caches. */
  folder: string
  /** Of the model; any string. */
  fingerprint: string
  /** Which engine this is: see newEngineId. */
  engine: string
  /** What to call the model in a listing. */
  label: string
  /** Most bytes of all models' files together. */
  capBytes: number
  /** Most bytes written per UTC day by all engines on this folder together; null: no bound. */
  dailyWriteBytes: number | null
}

export interface WriteOrder {
  meta: PieceMeta
  anchor: boolean
  segments: Segment[]
  bytes: number
  /** Pieces that this one makes superfluous: the first to go when room is needed, and gone once it is written. */
  supersedes: PieceHash[]
}

/**
 * `budget`: today's bytes are used up. `too_large`: above the cap by itself. `no_room`: nothing is left that could go.
 * A fault kind: the system refused.
 */
export type WriteOutcome = 'written' | 'known' | 'budget' | 'too_large' | 'no_room' | FaultKind
export type ReadOutcome = 'ok' | FaultKind

export type ToWorker =
  | { type: 'open'; options: CoreOptions }
  | ({ type: 'write'; id: number } & WriteOrder)
  | { type: 'read'; id: number; meta: PieceMeta; segments: Segment[] }
  /** Pieces that were used, and how often since the last message. */
  | { type: 'touch'; hits: Array<[PieceHash, number]> }
  | { type: 'remove'; hashes: PieceHash[] }
  /** Touches every page of fresh shared memory. */
  | { type: 'warm'; id: number; slab: SharedArrayBuffer }
  /** Answered when everything before it is done. */
  | { type: 'sync'; id: number }
  | { type: 'close'; id: number }

export interface FoundPiece extends PieceMeta {
  anchor: boolean
  blobBytes: number
}

/** Figures of the folder, with every write's answer. */
export interface FolderState {
  /** Bytes of all models' files, rounded up to 4 KiB each. */
  totalBytes: number
  /** Bytes of this model's files, likewise. */
  modelBytes: number
  writtenToday: number
}

export type FromWorker =
  | { type: 'found'; pieces: FoundPiece[] }
  /** The index is complete. `foreign`: pieces that other models' folders hold. */
  | { type: 'ready'; state: FolderState; foreign: PieceHash[]; ms: number }
  | { type: 'wrote'; id: number; outcome: WriteOutcome; bytes: number; state: FolderState }
  | { type: 'read'; id: number; outcome: ReadOutcome }
  /** Files that are no longer there. */
  | { type: 'gone'; hashes: PieceHash[]; why: 'evicted' | 'superseded' | 'damaged' | 'vanished' | 'removed' }
  | { type: 'fault'; fault: Fault }
  /** The answer to `warm`, `sync` and `close`. */
  | { type: 'done'; id: number }
