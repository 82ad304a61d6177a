/** Responses that can be asked for again, and gone on with; in memory, bounded, the least recently used go first. */
import type { StoredItem } from './items.js'
import type { ResponseObject } from './object.js'

export interface StoredResponse {
  response: ResponseObject
  /** The request's own input. */
  input: StoredItem[]
  /** The whole conversation: earlier responses' items, the input, the output. Items are shared, not copied. */
  conversation: StoredItem[]
}

interface Entry extends StoredResponse {
  /** Whose it is: nobody else finds it. */
  owner: string
  size: number
}

export interface StoreLimits {
  responses: number
  /** Characters of all responses as JSON. */
  size: number
}

const defaults: StoreLimits = { responses: 1000, size: 64 * 1024 * 1024 }

export class ResponseStore {
  readonly #entries = new Map<string, Entry>()
  /** Items by id, for references. */
  readonly #items = new Map<string, { item: StoredItem; owner: string }>()
  #size = 0

  constructor(private readonly limits: StoreLimits = defaults) {}

  get count(): number {
    return this.#entries.size
  }

  add(owner: string, stored: StoredResponse): void {
    const size = JSON.stringify(stored.response).length + JSON.stringify(stored.input).length
    this.#entries.set(stored.response.id, { ...stored, owner, size })
    this.#size += size
    for (const item of ownItems(stored)) if (item.id) this.#items.set(item.id, { item, owner })
    for (const [oldest, { owner: of }] of this.#entries) {
      if (this.#entries.size <= this.limits.responses && this.#size <= this.limits.size) break
      this.delete(of, oldest)
    }
  }

  find(owner: string, id: string): StoredResponse | undefined {
    const entry = this.#entries.get(id)
    if (entry?.owner !== owner) return undefined
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    return entry
  }

  findItem(owner: string, id: string): StoredItem | undefined {
    const found = this.#items.get(id)
    return found?.owner === owner ? found.item : undefined
  }

  /** False when there is none. */
  delete(owner: string, id: string): boolean {
    const entry = this.#entries.get(id)
    if (entry?.owner !== owner) return false
    this.#entries.delete(id)
    this.#size -= entry.size
    for (const item of ownItems(entry)) {
      if (item.id && this.#items.get(item.id)?.item === item) this.#items.delete(item.id)
    }
    return true
  }
}

function ownItems({ input, conversation, response }: StoredResponse): StoredItem[] {
  const output = conversation.slice(conversation.length - response.output.length)
  return response.output.length === 0 ? input : [...input, ...output]
}
