import fs from 'node:fs'
import path from 'node:path'
import { CLOSED, ENGINES_FOLDER, isEngineName, mayBeAlive } from './names.js'

/**
 * How much was written today, by all engines on a cache folder together, kept over restarts and without a lock: each
 * engine writes a file of its own (`2025-01-31 00000000000001234567`, before the bytes it counts) and reads the others'.
 * What an ended engine left is taken over by removing its file, which only one can do.
 */
export class Ledger {
  readonly #folder: string
  readonly #engine: string
  readonly #now: () => number
  #day: string
  #bytes = 0
  #others = { alive: 0, bytes: 0 }

  constructor(cacheFolder: string, engine: string, now: () => number = Date.now) {
    this.#folder = path.join(cacheFolder, ENGINES_FOLDER)
    this.#engine = engine
    this.#now = now
    this.#day = dayOf(now())
  }

  /** Registers this engine and takes over what ended ones left. */
  open(): void {
    try {
      fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
      for (const name of this.#names()) {
        if (name !== this.#engine && !this.#alive(name)) this.#takeOver(name)
      }
    } catch {
      // A folder that cannot be written: nothing will be written today either.
    }
    // After a restart of the worker alone there is a file of our own already.
    this.#bytes = Math.max(this.#bytes, this.#read(this.#engine))
    this.#save()
    this.refresh()
  }

  /** Reads the others' files. Call it before asking. */
  refresh(): void {
    const day = dayOf(this.#now())
    if (day !== this.#day) {
      this.#day = day
      this.#bytes = 0
      this.#save()
    }
    let alive = 0
    let bytes = 0
    for (const name of this.#names()) {
      if (name === this.#engine) continue
      bytes += this.#read(name)
      if (this.#alive(name)) alive++
    }
    this.#others = { alive, bytes }
  }

  /** Other engines on this folder that may be at work. */
  get othersAlive(): number {
    return this.#others.alive
  }

  get writtenToday(): number {
    return this.#bytes + this.#others.bytes
  }

  /** Counts bytes that are about to be written. */
  add(bytes: number): void {
    this.#bytes += bytes
    this.#save()
  }

  close(): void {
    try {
      const own = path.join(this.#folder, this.#engine)
      if (this.#bytes === 0) fs.unlinkSync(own)
      else fs.renameSync(own, own + CLOSED)
    } catch {
      // Gone already.
    }
  }

  #names(): string[] {
    try {
      return fs.readdirSync(this.#folder).filter(isEngineName)
    } catch {
      return []
    }
  }

  #alive(name: string): boolean {
    try {
      return mayBeAlive(name, this.#now() - fs.statSync(path.join(this.#folder, name)).mtimeMs)
    } catch {
      return false
    }
  }

  #read(name: string): number {
    try {
      const [day, bytes] = fs.readFileSync(path.join(this.#folder, name), 'latin1').trim().split(' ')
      return day === this.#day && Number(bytes) > 0 ? Number(bytes) : 0
    } catch {
      return 0
    }
  }

  /** Only one engine succeeds in removing the file, and that one counts its bytes from now on. */
  #takeOver(name: string): void {
    const bytes = this.#read(name)
    try {
      fs.unlinkSync(path.join(this.#folder, name))
      this.#bytes += bytes
    } catch {
      // Another engine was faster.
    }
  }

  /** One write of always the same length, in place: a process killed at any moment leaves the old or the new figure. */
  #save(): void {
    const { O_CREAT, O_WRONLY } = fs.constants
    try {
      const fd = fs.openSync(path.join(this.#folder, this.#engine), O_WRONLY | O_CREAT, 0o600)
      try {
        fs.writeSync(fd, `${this.#day} ${String(this.#bytes).padStart(20, '0')}\n`, 0)
      } finally {
        fs.closeSync(fd)
      }
    } catch {
      // Counted in memory at least.
    }
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}
