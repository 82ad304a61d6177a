/**
 * Grammars as data. Everything a client can ask for (a JSON schema, GBNF text, tools) becomes one of these; checks and
 * bounds apply here, and only `print.ts` writes what the WASM engine reads. That engine aborts on any input that it
 * does not like, so it must never see a client's text.
 */
import { type CharSet, charSet } from './charset.js'

export type Node =
  | { kind: 'text'; text: string }
  | { kind: 'class'; set: CharSet }
  | { kind: 'seq'; items: Node[] }
  /** No items: nothing matches (unsatisfiable). */
  | { kind: 'alt'; items: Node[] }
  /** max null: no limit. */
  | { kind: 'repeat'; item: Node; min: number; max: number | null }
  | { kind: 'ref'; name: string }
  /** Any text up to and including the first occurrence of `stop`. */
  | { kind: 'until'; stop: string }
  /**
   * Any text to the end of the answer; where a trigger occurs the rule has to follow. Then free text again with `loop`,
   * otherwise the answer ends. Only at the end of a root alternative.
   */
  | { kind: 'free'; triggers: Array<{ trigger: string; rule: string }>; loop: boolean }

export interface Grammar {
  root: string
  rules: Map<string, Node>
}

export const EMPTY: Node = { kind: 'seq', items: [] }
export const NEVER: Node = { kind: 'alt', items: [] }

export function text(value: string): Node {
  return value === '' ? EMPTY : { kind: 'text', text: value }
}

export function chars(ranges: CharSet): Node {
  return { kind: 'class', set: charSet(ranges) }
}

export function seq(...items: Node[]): Node {
  const flat = items.flatMap(item => (item.kind === 'seq' ? item.items : [item]))
  return flat.length === 1 ? flat[0]! : { kind: 'seq', items: flat }
}

export function alt(...items: Node[]): Node {
  const flat = items.flatMap(item => (item.kind === 'alt' ? item.items : [item]))
  return flat.length === 1 ? flat[0]! : { kind: 'alt', items: flat }
}

export function repeat(item: Node, min: number, max: number | null): Node {
  if (max === 0) return EMPTY
  if (min === 1 && max === 1) return item
  return { kind: 'repeat', item, min, max }
}

export function optional(item: Node): Node {
  return repeat(item, 0, 1)
}

export function ref(name: string): Node {
  return { kind: 'ref', name }
}

/** Names of the rules that a node refers to, with repetitions. */
export function references(node: Node): string[] {
  switch (node.kind) {
    case 'ref':
      return [node.name]
    case 'seq':
    case 'alt':
      return node.items.flatMap(references)
    case 'repeat':
      return references(node.item)
    case 'free':
      return node.triggers.map(trigger => trigger.rule)
    default:
      return []
  }
}
