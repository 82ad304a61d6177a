import type { DiskTier } from './disk/disk.js'
import type { PieceHash } from './piece.js'
import type { RamEntry, RamTier } from './ram.js'

export interface FlushResult {
  /** Everything that was worth it is on the disk. */
  complete: boolean
  pieces: number
  bytes: number
}

/**
 * What of the RAM tier goes to disk, and when: anchors within seconds, what was used again when it is evicted, and
 * everything at the end. A piece never goes without what it hangs on.
 */
export class WritePolicy {
  readonly #ram: RamTier
  readonly #disk: DiskTier
  readonly #options: { capBytes: number; delayMs: number }
  /** Anchors to be written, with the time when; the earliest first. */
  readonly #due = new Map<PieceHash, number>()
  #timer: NodeJS.Timeout | undefined

  constructor(ram: RamTier, disk: DiskTier, options: { capBytes: number; delayMs: number }) {
    this.#ram = ram
    this.#disk = disk
    this.#options = options
  }

  /** An entry is about to be evicted from memory. */
  evicting(entry: RamEntry): void {
    if (entry.reused || entry.anchor) this.#writeWithAncestors(entry, false)
  }

  now(entry: RamEntry): void {
    this.#writeWithAncestors(entry, true)
  }

  /** Within seconds, unless a longer piece takes its place before. */
  soon(entry: RamEntry): void {
    if (this.#due.has(entry.hash) || this.#disk.index.get(entry.hash)) return
    const { delayMs } = this.#options
    this.#due.set(entry.hash, Date.now() + delayMs)
    this.#timer ??= setTimeout(() => this.#writeDue(), delayMs).unref()
  }

  /** Writes what is worth it, within the deadline. */
  async flush(deadlineMs: number): Promise<FlushResult> {
    const disk = this.#disk
    const deadline = Date.now() + deadlineMs
    const before = disk.stats()
    await disk.ready
    disk.resume()
    const chosen = this.#worthFlushing()
    for (const entry of chosen) {
      if (!disk.hasRoomFor(entry.bytes)) await disk.settle(deadline - Date.now())
      if (Date.now() > deadline || disk.stats().pausedUntil !== null) break
      if (this.#ram.get(entry.hash) === entry) this.#write(entry, false)
    }
    await disk.settle(deadline - Date.now())
    const complete = [...chosen].every(({ hash }) => disk.index.get(hash)?.pending === null)
    const after = disk.stats()
    return {
      complete,
      pieces: after.writtenPieces - before.writtenPieces,
      bytes: after.writtenBytes - before.writtenBytes
    }
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#due.clear()
  }

  /** Anchors first, then the most recently used, each after its ancestors, as much as the disk may hold. */
  #worthFlushing(): Set<RamEntry> {
    const chosen = new Set<RamEntry>()
    let room = this.#options.capBytes
    for (const entry of this.#ram.newestFirst()) {
      const chain = [entry, ...this.#ram.index.ancestors(entry)].filter(each => !chosen.has(each))
      room -= chain.reduce((sum, each) => sum + each.bytes, 0)
      if (room < 0) break
      for (const each of chain.reverse()) chosen.add(each)
    }
    return chosen
  }

  #writeDue(): void {
    this.#timer = undefined
    const now = Date.now()
    for (const [hash, due] of this.#due) {
      if (due > now) {
        this.#timer = setTimeout(() => this.#writeDue(), due - now).unref()
        return
      }
      this.#due.delete(hash)
      const entry = this.#ram.get(hash)
      if (entry) this.#writeWithAncestors(entry, false)
    }
  }

  #writeWithAncestors(entry: RamEntry, urgent: boolean): void {
    const chain = [entry, ...this.#ram.index.ancestors(entry)].filter(
      each => !this.#disk.index.get(each.hash)
    )
    // Urgent ones go to the front of the queue, one before the other: there the root must come last.
    if (!urgent) chain.reverse()
    for (const each of chain) this.#write(each, urgent)
  }

  #write(entry: RamEntry, urgent: boolean): void {
    this.#disk.write(entry, entry.allocation, { anchor: entry.anchor, urgent })
  }
}
