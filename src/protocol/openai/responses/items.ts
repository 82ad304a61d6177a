/** Items of a conversation, as chat templates expect them. */
import { invalidValue, unsupportedValue } from '../../errors.js'
import type { TemplateMessage } from '../../template/types.js'
import { parseArguments } from '../chat-messages.js'
import type { InputItem, Part } from './schema.js'

/** An item as it is kept: references are resolved. */
export type StoredItem = Exclude<InputItem, { type?: 'item_reference' | null }> & { id?: string | null }

/**
 * What an assistant generated in one go (thinking, text, calls) is one message again, so that it renders to the tokens
 * that it was.
 * @param path of the first item in the request, for errors
 * @throws ApiError for content that this server cannot take
 */
export function itemsToMessages(items: readonly InputItem[], path = 'input'): TemplateMessage[] {
  const messages: TemplateMessage[] = []
  let turn: TemplateMessage | undefined
  const assistant = () => {
    if (!turn) {
      turn = { role: 'assistant', content: '' }
      messages.push(turn)
    }
    return turn
  }
  items.forEach((item, index) => {
    const at = `${path}.${index}`
    if (item.type === 'reasoning') {
      if (turn && (turn.content !== '' || turn.tool_calls)) turn = undefined
      const message = assistant()
      message.reasoning_content = (message.reasoning_content ?? '') + reasoningText(item)
    } else if (item.type === 'function_call') {
      const { call_id: id, name } = item
      const args = parseArguments(item.arguments, `${at}.arguments`)
      const message = assistant()
      message.tool_calls = [
        ...(message.tool_calls ?? []),
        { id, type: 'function', function: { name, arguments: args } }
      ]
    } else if (isMessage(item) && item.role === 'assistant') {
      if (turn && (turn.content !== '' || turn.tool_calls)) turn = undefined
      assistant().content = joinText(item.content, `${at}.content`)
    } else {
      turn = undefined
      messages.push(toMessage(item, at))
    }
  })
  return mergeLeadingSystem(messages)
}

function toMessage(item: InputItem, path: string): TemplateMessage {
  if (item.type === 'function_call_output') {
    return { role: 'tool', tool_call_id: item.call_id, content: joinText(item.output, `${path}.output`) }
  }
  if (!isMessage(item)) {
    throw unsupportedValue(`${path}.type`, `items of type '${item.type}' belong to tools that are not here.`)
  }
  const content = joinText(item.content, `${path}.content`)
  return { role: item.role === 'user' ? 'user' : 'system', content }
}

function isMessage(item: InputItem): item is Extract<InputItem, { role: string }> {
  return 'role' in item && (item.type === undefined || item.type === 'message')
}

/** Many templates take one system message, at the beginning. */
function mergeLeadingSystem(messages: TemplateMessage[]): TemplateMessage[] {
  const count = messages.findIndex(message => message.role !== 'system')
  const system = messages.slice(0, count < 0 ? messages.length : count)
  if (system.length < 2) return messages
  const content = system.map(message => message.content).join('\n\n')
  return [{ role: 'system', content }, ...messages.slice(system.length)]
}

function joinText(content: string | Part[], path: string): string {
  if (typeof content === 'string') return content
  return content
    .map((part, index) => {
      if ('text' in part) return part.text
      if ('refusal' in part) return part.refusal
      throw unsupportedValue(`${path}.${index}.type`, `this model takes text only, not '${part.type}'.`)
    })
    .join('')
}

/** Clients that keep no state get their thinking as `encrypted_content`, and give it back so. */
export function encryptReasoning(text: string): string {
  return Buffer.from(text).toString('base64')
}

function reasoningText(item: Extract<InputItem, { type: 'reasoning' }>): string {
  if (item.content && item.content.length > 0) return item.content.map(part => part.text).join('')
  if (item.encrypted_content) return Buffer.from(item.encrypted_content, 'base64').toString()
  return (item.summary ?? []).map(part => part.text).join('\n')
}

/** @throws ApiError for a reference to an item that is not kept */
export function resolveReferences(
  items: readonly InputItem[],
  find: (id: string) => StoredItem | undefined
): StoredItem[] {
  return items.map((item, index) => {
    if (!isReference(item)) return item as StoredItem
    const found = find(item.id)
    if (!found) throw invalidValue(`input.${index}.id`, `there is no stored item '${item.id.slice(0, 100)}'.`)
    return found
  })
}

function isReference(
  item: InputItem
): item is Extract<InputItem, { type?: 'item_reference' | null }> & { id: string } {
  return item.type === 'item_reference' || (item.type == null && !('role' in item))
}
