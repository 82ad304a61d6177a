import type { SharedGeneration } from './shared-generation.js'

export interface StoreOptions {
  /** How long answers are kept after the last reply with them has ended, milliseconds. */
  keepMs: number
  /** Most bytes of kept answers, and most keys; the oldest go first. */
  mostBytes: number
  mostKeys: number
}

/** All requests with one key. */
export class Entry {
  /** What their handlers submitted, in order; one of them does the same as the other. */
  readonly generations: SharedGeneration[] = []
  /** Replies under way. */
  users = 0
  expiry: NodeJS.Timeout | undefined

  constructor(
    readonly key: string,
    /** Of the request's route and body. */
    readonly fingerprint: string
  ) {}

  get bytes(): number {
    return this.generations.reduce((sum, generation) => sum + generation.bytes, 0)
  }

  /** Worth keeping for a client that did not get the reply. */
  get isWhole(): boolean {
    return this.generations.length > 0 && this.generations.every(generation => generation.isWhole)
  }
}

/** Requests with a key that are under way, and those that ended a moment ago. */
export class IdempotencyStore {
  readonly #options: StoreOptions
  readonly #entries = new Map<string, Entry>()
  /** Ended ones, oldest first. */
  readonly #ended = new Set<Entry>()
  #endedBytes = 0

  constructor(options: StoreOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#entries.size
  }

  /**
   * A request with this key begins; `leave` is to be called when its reply has ended.
   * @returns null when the key was used for another request
   */
  enter(key: string, fingerprint: string): Entry | null {
    let entry = this.#entries.get(key)
    if (entry && entry.fingerprint !== fingerprint) return null
    if (!entry) {
      entry = new Entry(key, fingerprint)
      this.#entries.set(key, entry)
    }
    if (this.#ended.delete(entry)) this.#endedBytes -= entry.bytes
    clearTimeout(entry.expiry)
    entry.users++
    return entry
  }

  leave(entry: Entry): void {
    if (--entry.users > 0) return
    if (!entry.isWhole) {
      this.#entries.delete(entry.key)
      return
    }
    this.#ended.add(entry)
    this.#endedBytes += entry.bytes
    entry.expiry = setTimeout(() => this.#forget(entry), this.#options.keepMs).unref()
    const { mostBytes, mostKeys } = this.#options
    for (const oldest of this.#ended) {
      if (this.#endedBytes <= mostBytes && this.#ended.size <= mostKeys) break
      this.#forget(oldest)
    }
  }

  clear(): void {
    for (const entry of this.#ended) clearTimeout(entry.expiry)
    this.#ended.clear()
    this.#entries.clear()
    this.#endedBytes = 0
  }

  #forget(entry: Entry): void {
    clearTimeout(entry.expiry)
    this.#entries.delete(entry.key)
    if (this.#ended.delete(entry)) this.#endedBytes -= entry.bytes
  }
}
