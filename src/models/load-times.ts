/** Before anything has been loaded: a solid-state disk, and the start of a process. */
const usualBytesPerMs = 1e6
const startMs = 400
/** How much the newest load counts against those before it. */
const weight = 0.5

/** Learns how long loads take: per model, and per byte for models that were never loaded. */
export class LoadTimes {
  readonly #known = new Map<string, number>()
  #bytesPerMs = usualBytesPerMs

  /** @param bytes size of the model's file */
  note(id: string, bytes: number, ms: number): void {
    const known = this.#known.get(id)
    this.#known.set(id, known === undefined ? ms : mix(known, ms))
    // What a small model takes is the start of its process, and says nothing about the disk.
    if (ms > 2 * startMs) this.#bytesPerMs = mix(this.#bytesPerMs, bytes / (ms - startMs))
  }

  /** Milliseconds that a load of this model will take. */
  estimate(id: string, bytes: number): number {
    return Math.round(this.#known.get(id) ?? startMs + bytes / this.#bytesPerMs)
  }
}

function mix(old: number, fresh: number): number {
  return old + weight * (fresh - old)
}
