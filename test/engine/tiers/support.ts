import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { DiskCore } from '../../../src/engine/tiers/disk/core.js'
import type { FromWorker, ToWorker } from '../../../src/engine/tiers/disk/protocol.js'
import type { WorkerPort } from '../../../src/engine/tiers/disk/worker-link.js'
import { PieceChain, type PieceMeta } from '../../../src/engine/tiers/piece.js'
import { type StoreOptions, TierStore } from '../../../src/engine/tiers/store.js'

/** A folder of its own, removed when the test ends. */
export function temporaryFolder(t: { teardown(run: () => unknown): unknown }): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'octavo-tiers-'))
  t.teardown(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Bytes that can only belong to this piece: any other piece's, or a shifted part, differ. */
export function blobOf(meta: PieceMeta, bytesPerToken = 100): Uint8Array {
  const seed = createHash('sha256').update(meta.hash).digest()
  const blob = new Uint8Array(16 + meta.tokens.length * bytesPerToken)
  for (let i = 0; i < blob.length; i++) blob[i] = seed[i % 32]! ^ (i >> 5)
  return blob
}

/** Deterministic tokens: `length` of them, different for every seed from the first on. */
export function tokensOf(seed: number, length: number): Int32Array {
  let state = (seed + 1) * 2654435761
  return Int32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state % 150_000
  })
}

export function chainOf(tokens: Int32Array, salt = '', grid?: number): PieceChain {
  return new PieceChain(salt, grid).extend(tokens)
}

export const MODEL = 'a model'

type DiskPart = Partial<NonNullable<StoreOptions['disk']>>
type Overrides = Omit<Partial<StoreOptions>, 'disk'> & { disk?: DiskPart }

/** A store with small chunks on `folder`; closed by the caller. */
export function openStore(folder: string | null, options: Overrides = {}): TierStore {
  const disk = folder && {
    folder,
    fingerprint: MODEL,
    label: 'tests',
    capBytes: 1 << 30,
    dailyWriteBytes: null,
    ...options.disk
  }
  return new TierStore({ ramBytes: 16 << 20, chunkBytes: 4096, ...options, disk: disk || null })
}

/** What lies in the models' folders, by the disk's own account: bytes rounded up to 4 KiB per file. */
export function bytesInFolder(folder: string): number {
  let sum = 0
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === 'engines') continue
    const at = path.join(folder, entry.name)
    if (entry.isDirectory()) sum += bytesInFolder(at)
    else sum += Math.ceil((fs.statSync(at, { throwIfNoEntry: false })?.size ?? 0) / 4096) * 4096
  }
  return sum
}

/** Paths of all files whose name ends so, anywhere below. */
export function filesEnding(folder: string, end: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith(end))
    .map(name => path.join(folder, name))
    .sort()
}

/** The disk worker in this thread: as asynchronous, and without the price of starting one. */
export function inThreadWorker(): WorkerPort {
  let tell: (message: FromWorker) => void = () => {}
  const core = new DiskCore(message => tell(message))
  const port = {
    on(event: string, listener: (message: never) => void) {
      if (event === 'message') tell = listener as typeof tell
    },
    postMessage(message: ToWorker) {
      setImmediate(() => core.handle(message))
    },
    unref() {},
    async terminate() {}
  }
  return port as WorkerPort
}
