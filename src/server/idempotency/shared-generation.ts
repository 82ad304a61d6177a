import type { RequestEvent } from '../../engine/messages.js'
import type { Generation } from '../../models/types.js'

interface Listener {
  onEvent(event: RequestEvent): void
  /** Number of the event that it gets next, counted from the generation's first. */
  next: number
  paused: boolean
  /** It still gets what was before it came, or while it was paused; live events would overtake that. */
  catchingUp: boolean
}

export interface SharedGenerationOptions {
  /** Starts the computation. */
  start(onEvent: (event: RequestEvent) => void): Generation
  /** An answer larger than this, in bytes (estimated), is not kept for those who come later. */
  mostBytes: number
}

/** Events given to somebody who catches up, per turn of the event loop. */
const piece = 256

/**
 * One computation that several requests listen to. Who joins later gets all events from the first one on. It is paused
 * while all pause it, and cancelled when all have left.
 *
 *     events:  0 1 2 3 4 5 6 7 (live)
 *              ^ joined late ^ the first one
 */
export class SharedGeneration {
  readonly #mostBytes: number
  readonly #generation: Generation
  readonly #listeners = new Set<Listener>()
  #events: RequestEvent[] = []
  /** Events that are not kept any more. */
  #dropped = 0
  #bytes = 0
  #state: 'running' | 'ended' | 'broken' | 'abandoned' = 'running'
  /** Larger than may be kept. */
  #tooLarge = false
  #paused = false

  constructor({ start, mostBytes }: SharedGenerationOptions) {
    this.#mostBytes = mostBytes
    this.#generation = start(event => this.#take(event))
  }

  /** It ended as it should, and all of it is here. */
  get isWhole(): boolean {
    return this.#state === 'ended' && !this.#tooLarge
  }

  get canBeJoined(): boolean {
    return (this.#state === 'running' || this.#state === 'ended') && !this.#tooLarge
  }

  /** What it keeps, estimated. */
  get bytes(): number {
    return this.#bytes
  }

  join(onEvent: (event: RequestEvent) => void): Generation {
    const listener: Listener = { onEvent, next: 0, paused: false, catchingUp: true }
    this.#listeners.add(listener)
    // Never before the caller has its Generation.
    queueMicrotask(() => this.#catchUp(listener))
    return {
      cancel: () => this.#leave(listener),
      pause: () => {
        listener.paused = true
        this.#balance()
      },
      resume: () => {
        if (!listener.paused) return
        listener.paused = false
        this.#balance()
        if (listener.catchingUp) return
        listener.catchingUp = true
        this.#catchUp(listener)
      }
    }
  }

  #take(event: RequestEvent): void {
    if (this.#state !== 'running') return
    this.#events.push(event)
    this.#bytes += sizeOf(event)
    if (event.type === 'end') this.#state = 'ended'
    else if (event.type === 'failed') this.#state = 'broken'
    else if (event.type === 'verdict' && event.verdict.kind !== 'admitted') this.#state = 'broken'
    for (const listener of [...this.#listeners]) {
      if (!listener.paused && !listener.catchingUp) this.#give(listener, event)
    }
    if (this.#bytes > this.#mostBytes) this.#tooLarge = true
    if (this.#tooLarge) this.#drop()
  }

  #catchUp(listener: Listener): void {
    for (let given = 0; given < piece; given++) {
      if (listener.paused || !this.#listeners.has(listener)) {
        listener.catchingUp = false
        return
      }
      const event = this.#events[listener.next - this.#dropped]
      if (event === undefined) {
        listener.catchingUp = false
        return
      }
      this.#give(listener, event)
    }
    setImmediate(() => this.#catchUp(listener))
  }

  #give(listener: Listener, event: RequestEvent): void {
    listener.next++
    try {
      listener.onEvent(event)
    } catch (error) {
      this.#leave(listener)
      // The others are not concerned; without others it is the engine's matter, as if nothing was shared.
      if (this.#listeners.size === 0) throw error
    }
  }

  #leave(listener: Listener): void {
    if (!this.#listeners.delete(listener)) return
    if (this.#listeners.size > 0) this.#balance()
    else if (this.#state === 'running') {
      this.#state = 'abandoned'
      this.#events = []
      this.#generation.cancel()
    }
  }

  #balance(): void {
    const paused = [...this.#listeners].every(listener => listener.paused)
    if (this.#state !== 'running' || paused === this.#paused) return
    this.#paused = paused
    if (paused) this.#generation.pause()
    else this.#generation.resume()
  }

  /** Forgets what all have got: nobody can join any more. */
  #drop(): void {
    const needed = Math.min(...[...this.#listeners].map(listener => listener.next))
    this.#events.splice(0, needed - this.#dropped)
    this.#dropped = Math.max(this.#dropped, needed)
  }
}

/** Bytes of memory that an event takes, about. */
function sizeOf(event: RequestEvent): number {
  if (event.type === 'prompt')
    return event.logprobs.reduce((sum, { top }) => sum + 200 * (1 + top.length), 150)
  if (event.type === 'finish') return 300 + 8 * (event.tokens?.length ?? 0)
  if (event.type !== 'text') return 500
  const logprobs = event.logprobs?.reduce((sum, { top }) => sum + 200 * (1 + top.length), 0) ?? 0
  return 150 + 2 * event.text.length + logprobs
}
