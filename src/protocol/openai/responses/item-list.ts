/** Stored items as the API lists them. */
import { randomUUID } from 'node:crypto'
import { invalidValue } from '../../errors.js'
import type { StoredItem } from './items.js'

const prefixes: Record<string, string> = {
  message: 'msg',
  function_call: 'fc',
  function_call_output: 'fco',
  reasoning: 'rs'
}

/** Items get an id when they come in, so that they can be referred to. */
export function withIds(items: readonly StoredItem[]): StoredItem[] {
  return items.map(item => {
    if (item.id) return item
    return {
      ...item,
      id: `${prefixes[item.type ?? 'message'] ?? 'item'}_${randomUUID().replaceAll('-', '')}`
    }
  })
}

export interface ListOptions {
  /** Id of the item after which the page begins. */
  after: string | undefined
  limit: number
  order: 'asc' | 'desc'
}

/** @throws ApiError when `after` is none of the items */
export function listInputItems(items: readonly StoredItem[], { after, limit, order }: ListOptions) {
  const all = order === 'asc' ? [...items] : [...items].reverse()
  const from = after === undefined ? 0 : all.findIndex(item => item.id === after) + 1
  if (after !== undefined && from === 0) throw invalidValue('after', 'there is no such item.')
  const page = all.slice(from, from + limit).map(toResource)
  return {
    object: 'list',
    data: page,
    first_id: page[0]?.id ?? '',
    last_id: page.at(-1)?.id ?? '',
    has_more: from + limit < all.length
  }
}

function toResource(item: StoredItem) {
  const resource = { status: 'completed', ...item, id: item.id ?? '' }
  if (!('role' in item)) return resource
  const kind = item.role === 'assistant' ? 'output_text' : 'input_text'
  const content =
    typeof item.content === 'string'
      ? [
          {
            type: kind,
            text: item.content,
            ...(item.role === 'assistant' ? { annotations: [], logprobs: [] } : {})
          }
        ]
      : item.content
  return { ...resource, type: 'message', content }
}
