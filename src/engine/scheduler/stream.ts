import type { Sampler } from '../backend.js'
import type { CacheOwner } from '../cache/prefix-cache.js'
import type { PathSegment } from '../cache/prefix-index.js'
import type { CachedTokens } from '../messages.js'
import { TokenList } from '../token-list.js'

export interface StreamOptions {
  promptTokens: ArrayLike<number>
  salt: string
  tenant: string
  priority: number
  /** Milliseconds of the engine's clock. */
  arrived: number
  /** Most tokens to generate; null: as many as fit. */
  maxTokens: number | null
  cachePrompt: boolean
  reproducible: boolean
  /** Prompt lengths after which a prefix is worth keeping, ascending. */
  anchors?: number[]
  /** The logits of its prompt's rows are wanted. */
  readsPrompt?: boolean
}

/**
 * One answer being made: one choice of a request. It has no phase: `computed` tokens catch up with the tokens it has,
 * whether they came from the prompt or were generated.
 */
export class Stream implements CacheOwner {
  readonly tokens: TokenList
  readonly promptLength: number
  readonly salt: string
  readonly tenant: string
  readonly priority: number
  readonly arrived: number
  readonly maxTokens: number | null
  readonly cachePrompt: boolean
  readonly reproducible: boolean
  readonly anchors: number[]

  /** The sequence id it computes in; -1 while it waits. */
  sequence = -1
  path: PathSegment[] = []
  shared = 0
  /** Positions [0, computed) are in its cells. */
  computed = 0
  /** Prompt lengths at which its state is captured, ascending: no chunk goes across. null: it may be cut anywhere. */
  boundaries: number[] | null = null
  /** Prompt tokens that were attached rather than computed at the first start. */
  cached = 0
  /** Tokens that came back from a lower tier, at any start. */
  readonly restored = { ram: 0, disk: 0 }
  /** Tokens of the prompt whose log probabilities have been told; null: they are not wanted. */
  read: number | null
  /** Why no more was cached, where there is a reason to tell. */
  missReason: CachedTokens['miss']
  /** Set at the first start. */
  startedAt: number | null = null
  prefilledAt: number | null = null
  firstTokenAt: number | null = null
  /** The client takes no data: not decoded further. */
  paused = false
  /** Its end has been told. */
  finished = false
  sampler: Sampler | null = null

  constructor(options: StreamOptions) {
    this.tokens = new TokenList(options.promptTokens)
    this.promptLength = this.tokens.length
    this.salt = options.salt
    this.tenant = options.tenant
    this.priority = options.priority
    this.arrived = options.arrived
    this.maxTokens = options.maxTokens
    this.cachePrompt = options.cachePrompt
    this.reproducible = options.reproducible
    this.anchors = options.anchors ?? []
    this.read = options.readsPrompt ? 0 : null
  }

  get generated(): number {
    return this.tokens.length - this.promptLength
  }

  /** Rows of its prompt still have to be computed with outputs. */
  get reads(): boolean {
    return this.read !== null && this.read < this.promptLength
  }

  /** The row at this position tells about a prompt token that has not been told. Computed again after a preemption, it does not. */
  readsAt(position: number): boolean {
    return this.read !== null && position + 1 >= this.read && position + 1 < this.promptLength
  }

  /** Tokens that are not computed yet. */
  get behind(): number {
    return this.tokens.length - this.computed
  }

  /** Tokens that may be computed in one chunk. */
  get stretch(): number {
    const boundary = this.boundaries?.find(position => position > this.computed)
    return boundary === undefined ? this.behind : Math.min(boundary - this.computed, this.behind)
  }

  /** One token behind, and it is a generated one: the next row gives the next token. */
  get decoding(): boolean {
    return this.behind === 1 && this.generated > 0
  }

  /** Cells of its own: computed, not shared with the cache. */
  get ownCells(): number {
    return this.computed - this.shared
  }

  /** Tokens that may still be generated. */
  get tokensLeft(): number {
    return this.maxTokens === null ? Number.POSITIVE_INFINITY : this.maxTokens - this.generated
  }
}
