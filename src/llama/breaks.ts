import type { DecodeBreaks } from '../engine/backend.js'
import koffi from './ffi.js'
import type { Pointer } from './layout.js'
import { fromC } from './libc.js'
import type { Functions } from './library.js'

/** C's semaphores, as far as they are needed here. */
interface Semaphores {
  init: (semaphore: Pointer, shared: number, value: number) => number
  post: (semaphore: Pointer) => number
  tryWait: (semaphore: Pointer) => number
  wait: { async: (semaphore: Pointer, done: (error: Error | null) => void) => void }
  /** Address of `sem_wait`. */
  waitPointer: Pointer
}

/** `sizeof(sem_t)` is 32; and where glibc and musl keep the value and the number of waiting threads, as 32-bit words. */
const SEMAPHORE_WORDS = 16
const VALUE_AT = 0
const WAITERS_AT = 1

/** Operations of a graph, generously: a layer of a dense model has 18, one of a mixture of experts 40. */
const OPERATIONS_PER_LAYER = 64
/** A decode may consist of several graphs. */
const MOST_GRAPHS = 64
/** Between two looks whether the decode has stopped, milliseconds. */
const LOOK_EVERY = 1
const PROBE_MS = 1000

/** Decodes that may be waiting for this thread. */
const underWay = new Set<Breaks>()
let watchesExit = false

/**
 * Stops a context's decode between two operations of its graph, and lets it go on. Before each operation the CPU backend
 * asks whether to abort; the question is answered by C's `sem_wait`, which returns 0 (no) as long as the semaphore has
 * permits, and blocks when they have been taken away. A JavaScript function in its place would cost 40 to 100
 * microseconds an operation (docs/performance.md). Linux only: elsewhere such a semaphore does not exist, or does
 * not tell who is waiting.
 */
export class Breaks {
  readonly #words: Int32Array
  readonly #permits: number
  #plan: DecodeBreaks | null = null
  #context: Pointer = null
  #timer: NodeJS.Timeout | undefined

  /** null: not on this system. */
  static async create(functions: Functions, layers: number): Promise<Breaks | null> {
    const semaphores = process.platform === 'linux' ? findSemaphores() : null
    if (!semaphores) return null
    const breaks = new Breaks(functions, semaphores, OPERATIONS_PER_LAYER * (layers + 4))
    if (await breaks.#works()) return breaks
    breaks.free()
    return null
  }

  private constructor(
    private readonly functions: Functions,
    private readonly semaphores: Semaphores,
    permits: number,
    private readonly semaphore = koffi.alloc('int32', SEMAPHORE_WORDS)
  ) {
    this.#permits = permits
    this.#words = new Int32Array(koffi.view(this.semaphore, 4 * SEMAPHORE_WORDS))
    this.semaphores.init(this.semaphore, 0, 0)
  }

  /** In the next decode of this context, which has to be an asynchronous one. */
  begin(context: Pointer, plan: DecodeBreaks): void {
    if (!watchesExit) {
      watchesExit = true
      // At its end the process waits for its threads, and nobody would give permits any more.
      process.on('exit', () => {
        for (const breaks of underWay) for (let i = 0; i < MOST_GRAPHS; i++) breaks.#permit()
      })
    }
    this.#plan = plan
    this.#context = context
    underWay.add(this)
    this.#forbid()
    this.#permit()
    this.functions.llama_set_abort_callback(context, this.semaphores.waitPointer, this.semaphore)
    this.#timer = setTimeout(() => this.#stop(), plan.after)
  }

  /** It is over. */
  end(): void {
    if (!this.#plan) return
    this.#plan = null
    clearTimeout(this.#timer)
    underWay.delete(this)
    this.functions.llama_set_abort_callback(this.#context, null, null)
  }

  free(): void {
    koffi.free(this.semaphore)
  }

  #stop(): void {
    this.#forbid()
    this.#look()
  }

  /** The operation under way takes its time; or it was the last one, and the decode is over. */
  #look(): void {
    if (!this.#plan) return
    let next = LOOK_EVERY
    const waits = this.#waits()
    if (waits) {
      next = this.#plan.take()
      this.#permit()
    }
    this.#timer = setTimeout(() => (waits ? this.#stop() : this.#look()), next)
  }

  #value(): number {
    return Atomics.load(this.#words, VALUE_AT)
  }

  #waits(): boolean {
    return Atomics.load(this.#words, WAITERS_AT) > 0
  }

  #permit(): void {
    for (let i = 0; i < this.#permits; i++) this.semaphores.post(this.semaphore)
  }

  #forbid(): void {
    while (this.semaphores.tryWait(this.semaphore) === 0);
  }

  /** Whether this C library keeps its counts where they are looked for: a thread waits, and is let go. */
  async #works(): Promise<boolean> {
    this.semaphores.post(this.semaphore)
    if (this.#value() !== 1 || this.#waits()) return false
    this.#forbid()
    if (this.#value() !== 0) return false
    const done = new Promise<void>(resolve => this.semaphores.wait.async(this.semaphore, () => resolve()))
    const until = performance.now() + PROBE_MS
    while (!this.#waits() && performance.now() < until) await new Promise(resolve => setTimeout(resolve, 1))
    const seen = this.#waits()
    this.semaphores.post(this.semaphore)
    await done
    return seen && !this.#waits()
  }
}

function findSemaphores(): Semaphores | null {
  const pointer = 'void *'
  return fromC(library => ({
    init: library.func('sem_init', 'int', [pointer, 'int', 'uint']),
    post: library.func('sem_post', 'int', [pointer]),
    tryWait: library.func('sem_trywait', 'int', [pointer]),
    wait: library.func('sem_wait', 'int', [pointer]) as unknown as Semaphores['wait'],
    waitPointer: library.symbol('sem_wait', 'void')
  }))
}
