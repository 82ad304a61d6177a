/**
 * Constrained decoding for one engine: a small pool of threads that compile and match (docs/constraints.md).
 *
 * A grammar's matchers run where it was compiled. A new grammar goes to a thread that no stream depends on at the
 * moment, so that a compilation (tens of milliseconds to seconds) delays nobody; only when all threads are in use it
 * shares one. A thread that hangs or dies is replaced, and the streams of the others on it go on: their matchers are
 * opened again elsewhere and fed the tokens that they had accepted.
 */
import type { ConstraintInput } from './constraint.js'
import { boundConstraint } from './constraint-bounds.js'
import { ConstraintError } from './errors.js'
import { type Matcher, StreamMatcher } from './matcher.js'
import type { FromWorker, PreparedGrammar, SharedVocabulary } from './protocol.js'
import { RefusedConstraints } from './refused.js'
import { Thread } from './thread.js'
import { shareVocabulary, type Vocabulary } from './vocabulary.js'

export interface ConstraintServiceOptions {
  vocabulary: Vocabulary
  /** Most threads; each costs 30 to 60 MB with a large vocabulary. They start when needed. */
  threads?: number
  /** A grammar that takes longer to compile, milliseconds, is refused. */
  compileTimeoutMs?: number
  /** Bytes of WASM memory per thread. */
  memoryLimit?: number
  /** Compiled grammars kept per service. */
  cacheSize?: number
}

export interface CompiledConstraint {
  /** Schema keywords that only `validateFinished` holds (JSON pointers); empty in strict mode. */
  readonly unenforced: readonly string[]
  /** A new stream. Free it when the stream ends. */
  matcher(): Matcher
}

export interface ConstraintService {
  /** Starts a thread and gives it the vocabulary, so that the first request does not wait for that. */
  warm(): Promise<void>
  /**
   * Compiles on another thread; equal constraints are compiled once.
   * @throws ConstraintError when the constraint is the client's mistake, or beyond the limits.
   */
  compile(constraint: ConstraintInput): Promise<CompiledConstraint>
  dispose(): Promise<void>
}

interface Entry {
  id: number
  key: string
  param: string
  ready: Promise<PreparedGrammar>
  resolve(prepared: PreparedGrammar): void
  reject(error: Error): void
  prepared: PreparedGrammar | null
  thread: Thread | null
  triedAgain: boolean
  matchers: Set<number>
}

export function createConstraintService(options: ConstraintServiceOptions): ConstraintService {
  return new Service(options)
}

const DEFAULTS = { threads: 3, compileTimeoutMs: 15_000, memoryLimit: 768 * 1024 * 1024, cacheSize: 64 }
const START_TIMEOUT_MS = 30_000
/** A refusal that depends on how fast the machine was, or how much memory was free, is remembered so long. */
const MACHINE_REFUSAL_MS = 5 * 60_000

class Service implements ConstraintService {
  private readonly options
  private readonly stopTokens: ReadonlySet<number>
  private vocabulary: Promise<SharedVocabulary> | null = null
  private readonly threads = new Map<Thread, Promise<void>>()
  private readonly entries = new Map<string, Entry>()
  private readonly refused = new RefusedConstraints()
  private readonly byId = new Map<number, Entry>()
  private readonly matchers = new Map<number, { matcher: StreamMatcher; entry: Entry }>()
  private readonly timers = new Map<number, NodeJS.Timeout>()
  private pending: Array<{ id: number; token: number }> = []
  private flushing = false
  private ids = 0
  private disposed = false

  constructor(options: ConstraintServiceOptions) {
    this.options = { ...DEFAULTS, ...options }
    this.stopTokens = new Set(options.vocabulary.stopTokens)
  }

  async warm(): Promise<void> {
    await this.started(await this.idleThread())
  }

  async compile(constraint: ConstraintInput): Promise<CompiledConstraint> {
    // Before anything walks through it recursively, here or on the way to the thread.
    boundConstraint(constraint)
    const key = JSON.stringify(constraint)
    const refusal = this.refused.get(key)
    if (refusal) throw refusal
    let entry = this.entries.get(key)
    if (entry) {
      // Most recently used last.
      this.entries.delete(key)
      this.entries.set(key, entry)
    } else entry = this.begin(key, constraint)
    const prepared = await entry.ready
    const used = entry
    return { unenforced: prepared.unenforced, matcher: () => this.open(used) }
  }

  async dispose(): Promise<void> {
    this.disposed = true
    for (const timer of this.timers.values()) clearTimeout(timer)
    for (const { matcher } of this.matchers.values()) matcher.fail('the engine is shutting down')
    const threads = [...this.threads.keys()]
    this.threads.clear()
    for (const entry of this.entries.values()) entry.reject(new Error('the engine is shutting down'))
    await Promise.all(threads.map(thread => thread.stop()))
  }

  private begin(key: string, constraint: ConstraintInput): Entry {
    let resolve!: Entry['resolve']
    let reject!: Entry['reject']
    const ready = new Promise<PreparedGrammar>((yes, no) => {
      resolve = yes
      reject = no
    })
    ready.catch(() => {
      this.entries.delete(key)
      this.byId.delete(id)
    })
    const id = ++this.ids
    const entry: Entry = {
      id,
      key,
      param: constraint.type === 'json_schema' ? 'schema' : constraint.type,
      ready,
      resolve,
      reject,
      prepared: null,
      thread: null,
      triedAgain: false,
      matchers: new Set()
    }
    this.entries.set(key, entry)
    this.byId.set(id, entry)
    this.send(entry, constraint).catch(reject)
    this.trimCache()
    return entry
  }

  private async send(entry: Entry, constraint: ConstraintInput): Promise<void> {
    const thread = await this.idleThread()
    thread.compiling++
    entry.thread = thread
    await this.started(thread)
    this.guard(entry, thread)
    thread.post({ type: 'compile', grammar: entry.id, constraint })
  }

  /** Refuses the grammar and replaces the thread when it does not answer in time. */
  private guard(entry: Entry, thread: Thread): void {
    const limit = this.options.compileTimeoutMs
    // Behind others in the queue of its thread, it waits for these as well.
    const timer = setTimeout(() => {
      this.settle(entry, thread)
      this.refuse(
        entry,
        new ConstraintError(entry.param, `too complex: it did not compile within ${limit / 1000} s`),
        MACHINE_REFUSAL_MS
      )
      this.replace(thread, 'a grammar took too long to compile')
    }, limit * thread.compiling)
    timer.unref()
    this.timers.set(entry.id, timer)
  }

  private settle(entry: Entry, thread: Thread): void {
    clearTimeout(this.timers.get(entry.id))
    if (this.timers.delete(entry.id)) thread.compiling--
  }

  /** A thread without matchers and compilations, a new one, or the least used. */
  private async idleThread(): Promise<Thread> {
    this.vocabulary ??= shareVocabulary(this.options.vocabulary)
    const vocabulary = await this.vocabulary
    if (this.disposed) throw new Error('the engine is shutting down')
    const load = (thread: Thread) => thread.compiling * 1000 + thread.matchers.size
    const threads = [...this.threads.keys()].sort((a, b) => load(a) - load(b))
    const first = threads[0]
    if (first && (load(first) === 0 || threads.length >= this.options.threads)) return first
    return this.start(vocabulary)
  }

  private start(vocabulary: SharedVocabulary): Thread {
    let isReady!: () => void
    const ready = new Promise<void>(resolve => {
      isReady = resolve
    })
    const thread: Thread = new Thread(
      { vocabulary, memoryLimit: this.options.memoryLimit },
      {
        message: message => (message.type === 'ready' ? isReady() : this.receive(thread, message)),
        ended: reason => this.replace(thread, reason)
      }
    )
    this.threads.set(thread, ready)
    return thread
  }

  private async started(thread: Thread): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('the constraint thread did not start')), START_TIMEOUT_MS)
    })
    await Promise.race([this.threads.get(thread), late]).finally(() => clearTimeout(timer))
  }

  private receive(thread: Thread, message: FromWorker): void {
    if (message.type === 'ready') return
    const entry = message.grammar === null ? undefined : this.byId.get(message.grammar)
    if (message.type === 'broken') {
      if (message.matcher !== null) this.matchers.get(message.matcher)?.matcher.fail(message.message)
      if (entry && !entry.prepared) {
        const error = new ConstraintError(entry.param, 'it could not be compiled')
        this.refuse(entry, error, MACHINE_REFUSAL_MS)
      }
      return
    }
    if (!entry) return
    this.settle(entry, thread)
    if (message.type === 'refused') {
      this.refuse(entry, new ConstraintError(message.param, message.message), Number.POSITIVE_INFINITY)
      return
    }
    thread.grammars.add(entry.id)
    entry.prepared = message.prepared
    entry.resolve(message.prepared)
  }

  /** @param rememberMs for so long the same constraint is refused at once. */
  private refuse(entry: Entry, error: ConstraintError, rememberMs: number): void {
    this.refused.add(entry.key, error, rememberMs)
    this.byId.delete(entry.id)
    entry.reject(error)
  }

  /** Its thread went while it was being compiled there, perhaps for another's sake. */
  private tryAgain(entry: Entry, reason: string): void {
    if (entry.triedAgain) {
      entry.reject(new ConstraintError(entry.param, `it could not be compiled (${reason})`))
      return
    }
    entry.triedAgain = true
    this.send(entry, JSON.parse(entry.key) as ConstraintInput).catch(entry.reject)
  }

  private open(entry: Entry): Matcher {
    const matcher = new StreamMatcher(++this.ids, {
      vocabularySize: this.options.vocabulary.size,
      stopTokens: this.stopTokens,
      accepted: (of, token) => this.accepted(of, token),
      freed: of => this.freed(of),
      late: of => this.late(of)
    })
    this.matchers.set(matcher.id, { matcher, entry })
    this.attach(matcher, entry).catch(error => matcher.fail(String(error)))
    return matcher
  }

  /** Opens the matcher on the thread that has the grammar, on another one when that is gone. */
  private async attach(matcher: StreamMatcher, entry: Entry): Promise<void> {
    if (!entry.thread || !this.threads.has(entry.thread)) {
      entry.thread = null
      const thread = await this.idleThread()
      entry.thread ??= thread
    }
    const thread = entry.thread
    // All of its tokens travel with it.
    this.pending = this.pending.filter(({ id }) => id !== matcher.id)
    thread.matchers.add(matcher.id)
    const known = thread.grammars.has(entry.id)
    thread.grammars.add(entry.id)
    entry.matchers.add(matcher.id)
    thread.post({
      type: 'open',
      matcher: matcher.id,
      grammar: entry.id,
      prepared: known ? null : entry.prepared,
      tokens: [...matcher.tokens],
      state: matcher.state.buffer as SharedArrayBuffer
    })
  }

  private accepted(matcher: StreamMatcher, token: number): void {
    this.pending.push({ id: matcher.id, token })
    if (this.flushing) return
    this.flushing = true
    queueMicrotask(() => this.flush())
  }

  /** One message per thread for all that was accepted in this turn. */
  private flush(): void {
    this.flushing = false
    const batches = new Map<Thread, { matchers: number[]; tokens: number[] }>()
    for (const { id, token } of this.pending) {
      const thread = this.matchers.get(id)?.entry.thread
      if (!thread?.matchers.has(id)) continue
      const batch = batches.get(thread) ?? { matchers: [], tokens: [] }
      batch.matchers.push(id)
      batch.tokens.push(token)
      batches.set(thread, batch)
    }
    this.pending = []
    for (const [thread, batch] of batches) thread.post({ type: 'accept', ...batch })
  }

  private freed(matcher: StreamMatcher): void {
    const known = this.matchers.get(matcher.id)
    if (!known) return
    this.matchers.delete(matcher.id)
    known.entry.matchers.delete(matcher.id)
    known.entry.thread?.matchers.delete(matcher.id)
    known.entry.thread?.post({ type: 'close', matcher: matcher.id })
  }

  /** Only the thread knows which matcher it is stuck at; the one that gave up is as good a guess as any. */
  private late(matcher: StreamMatcher): void {
    const thread = this.matchers.get(matcher.id)?.entry.thread
    matcher.fail('its next token could not be found in time')
    if (thread) this.replace(thread, 'a mask took too long')
  }

  /** Ends a thread and opens its healthy matchers again elsewhere. */
  private replace(thread: Thread, reason: string): void {
    if (!this.threads.delete(thread)) return
    void thread.stop()
    if (this.disposed) return
    for (const entry of this.byId.values()) {
      if (entry.thread !== thread) continue
      this.settle(entry, thread)
      entry.thread = null
      if (!entry.prepared && this.byId.has(entry.id)) this.tryAgain(entry, reason)
    }
    for (const id of thread.matchers) {
      const known = this.matchers.get(id)
      if (known && !known.matcher.hasFailed)
        this.attach(known.matcher, known.entry).catch(error => known.matcher.fail(String(error)))
    }
  }

  private trimCache(): void {
    for (const entry of this.entries.values()) {
      if (this.entries.size <= this.options.cacheSize) return
      if (entry.matchers.size > 0 || !entry.prepared) continue
      this.entries.delete(entry.key)
      this.byId.delete(entry.id)
      entry.thread?.grammars.delete(entry.id)
      entry.thread?.post({ type: 'forget', grammar: entry.id })
    }
  }
}
