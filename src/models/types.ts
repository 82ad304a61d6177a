/** What the HTTP side sees of models and their engines. */
import type { Capabilities, ModelInfo } from '../engine/backend.js'
import type {
  EngineCalls,
  EngineMethod,
  EngineStats,
  GenerationRequest,
  LoadFailure,
  RequestEvent
} from '../engine/messages.js'
import type { Examined, StaticRefusal } from '../vocabulary/messages.js'
import type { BreakerState } from './breaker.js'

/** A submitted request. After `end`, `failed` or a refusing verdict no event comes any more; all methods are no-ops then. */
export interface Generation {
  /** Frees what the request holds within one step. No further event is delivered. */
  cancel(): void
  /** The client takes no data: stop decoding past a small bound. */
  pause(): void
  resume(): void
}

/**
 * One loaded model's engine process, seen from the server process.
 * An engine that dies sends `failed` with `engine_crashed` to every request in flight.
 */
export interface Engine {
  /** Events of a request arrive in order, several in one turn of the event loop. The first is always its verdict, or `failed`. */
  submit(request: GenerationRequest, onEvent: (event: RequestEvent) => void): Generation
  /** Whatever is submitted in this turn of the event loop is refused for want of room in the queue. */
  readonly full?: boolean
  /** @throws EngineGoneError when the engine dies before it answers. */
  call<M extends EngineMethod>(method: M, params: EngineCalls[M]['params']): Promise<EngineCalls[M]['result']>
}

/** Answers what a vocabulary can: an engine, or the vocabulary of one that is not there. */
export interface TokenizingEngine {
  call<M extends 'tokenize' | 'detokenize' | 'pieces'>(
    method: M,
    params: EngineCalls[M]['params']
  ): Promise<EngineCalls[M]['result']>
}

/** What can be told of a model that is not loaded. Its calls throw when the process that answers them ends. */
export interface Vocabulary extends TokenizingEngine {
  /** What only weights and a device tell is 0 or ''. */
  readonly info: ModelInfo
  /** A prompt of so many tokens, or more, is too long. */
  readonly limit: number
  /** What the engine is going to say against a request; null: nothing that can be told now. Never rejects. */
  examine(request: Examined & Pick<GenerationRequest, 'sampling'>): Promise<StaticRefusal | null>
}

export type ModelState = 'unloaded' | 'loading' | 'ready' | 'draining' | 'failed'

/**
 * How a load is getting on. `waiting`: for other models to make room, or for a swap to be over; `restarting`: in the
 * pause after a crash.
 */
export interface LoadStatus {
  state: 'waiting' | 'loading' | 'restarting'
  /** 0..1 */
  progress: number
  /** Milliseconds until it will be ready, judged by earlier loads, the file's size and the disk. */
  estimatedMs: number
}

/** A model that can be asked for by name. */
export interface Model {
  /** The name in the API: alias, or the file's base name. */
  readonly id: string
  /** Further names that resolve to it; `*` answers to any name. */
  readonly aliases: readonly string[]
  /** Unix seconds. */
  readonly created: number
  readonly state: ModelState
  /** 0..1 while loading. */
  readonly progress: number
  /** null unless the model is on its way to being ready for new requests. */
  readonly loading: LoadStatus | null
  readonly failure: LoadFailure | null
  /** Known once it has been loaded for the first time. */
  readonly info: ModelInfo | null
  readonly capabilities: Capabilities | null
  readonly stats: EngineStats | null
  /** How often its engine died and was started again. */
  readonly restarts: number
  /** Left out where nothing supervises the engine. */
  readonly breaker?: BreakerState
  /** See `Engine.full`; asking for it is no use of the model. Left out: the engine has to be asked. */
  readonly full?: boolean
  /**
   * The engine, loaded if need be; all callers share one load, and wait for it no longer than the load timeout.
   * @throws ModelUnavailableError (failure, retryAfterMs) when it cannot be loaded now, or not in time.
   */
  engine(): Promise<Engine>
  /**
   * The vocabulary alone, in much less time than the engine; null where it cannot be had. Nothing is loaded for it.
   * @throws ModelUnavailableError when the model would not be loaded now: what `engine()` would throw at once
   */
  vocabulary?(): Promise<Vocabulary | null>
}

export interface Models {
  list(): Model[]
  /** undefined and `default` give the default model; an unknown name gives undefined. */
  find(name: string | undefined): Model | undefined
  /** New work is refused, running work may finish until the timeout, then engines exit. */
  drain(options: { timeoutMs: number }): Promise<{ finished: number; aborted: number; spilledBytes: number }>
}

export class EngineGoneError extends Error {
  constructor(message = 'the engine process ended') {
    super(message)
    this.name = 'EngineGoneError'
  }
}

export class ModelUnavailableError extends Error {
  constructor(
    readonly failure: LoadFailure,
    /** null: trying again will not help. */
    readonly retryAfterMs: number | null
  ) {
    super(failure.message)
    this.name = 'ModelUnavailableError'
  }
}
