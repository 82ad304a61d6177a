/**
 * Bounds and sanity of a grammar before it is compiled: undefined rules, left recursion, size, rules that can never
 * end. What passes here is safe to hand to the WASM engine.
 */
import type { CharSet } from './charset.js'
import { type Grammar, NEVER, type Node, references } from './grammar.js'

/** The grammar cannot be used; the message names the rule. */
export class GrammarError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'GrammarError'
  }
}

/** Elements after all repetitions are written out. */
export const MAX_SIZE = 20_000
export const MAX_RULES = 5000
export const MAX_REPEAT = 2000
/** Places where a wide set of characters may come next: compiling each is a pass over most of the vocabulary. */
export const MAX_WIDE = 1000

/**
 * @returns the grammar without branches that can never end, and without rules that nothing refers to.
 * @throws GrammarError
 */
export function checkGrammar(grammar: Grammar): Grammar {
  if (grammar.rules.size > MAX_RULES) throw new GrammarError(`more than ${MAX_RULES} rules`)
  for (const [name, node] of grammar.rules) {
    for (const target of references(node)) {
      if (!grammar.rules.has(target))
        throw new GrammarError(`rule ${name} refers to ${target}, which is not defined`)
    }
  }
  if (!grammar.rules.has(grammar.root)) throw new GrammarError(`there is no rule named ${grammar.root}`)
  const reachable = prune(grammar)
  const sizes = [...reachable.rules.values()].map(size)
  if (sizes.reduce((sum, value) => sum + value.elements, 0) > MAX_SIZE) {
    throw new GrammarError(`larger than ${MAX_SIZE} elements when repetitions are written out`)
  }
  if (sizes.reduce((sum, value) => sum + value.wide, 0) > MAX_WIDE) {
    throw new GrammarError(`has more than ${MAX_WIDE} places where nearly any character fits`)
  }
  refuseLeftRecursion(reachable)
  return reachable
}

function prune(grammar: Grammar): Grammar {
  const ending = endingRules(grammar)
  if (!ending.has(grammar.root)) throw new GrammarError('nothing can ever satisfy it')
  const rules = new Map<string, Node>()
  const open = [grammar.root]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (rules.has(name)) continue
    const node = trim(grammar.rules.get(name)!, ending)
    rules.set(name, node)
    open.push(...references(node))
  }
  return { root: grammar.root, rules }
}

/** Rules that some finite text satisfies. */
function endingRules(grammar: Grammar): Set<string> {
  const ending = new Set<string>()
  const users = new Map<string, string[]>()
  for (const [name, node] of grammar.rules) {
    for (const target of new Set(references(node))) users.set(target, [...(users.get(target) ?? []), name])
  }
  const open = [...grammar.rules.keys()]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (ending.has(name) || !ends(grammar.rules.get(name)!, ending)) continue
    ending.add(name)
    open.push(...(users.get(name) ?? []))
  }
  return ending
}

function ends(node: Node, ending: Set<string>): boolean {
  switch (node.kind) {
    case 'ref':
      return ending.has(node.name)
    case 'seq':
      return node.items.every(item => ends(item, ending))
    case 'alt':
      return node.items.some(item => ends(item, ending))
    case 'repeat':
      return node.min === 0 || ends(node.item, ending)
    case 'class':
      return node.set.length > 0
    case 'free':
      return node.triggers.every(trigger => ending.has(trigger.rule))
    default:
      return true
  }
}

function trim(node: Node, ending: Set<string>): Node {
  switch (node.kind) {
    case 'seq':
      return ends(node, ending) ? { ...node, items: node.items.map(item => trim(item, ending)) } : NEVER
    case 'alt':
      return { ...node, items: node.items.filter(item => ends(item, ending)).map(item => trim(item, ending)) }
    case 'repeat':
      if (!ends(node.item, ending)) return { kind: 'seq', items: [] }
      return { ...node, item: trim(node.item, ending) }
    default:
      return node
  }
}

function size(node: Node): { elements: number; wide: number } {
  switch (node.kind) {
    case 'text':
      return { elements: 1 + node.text.length / 8, wide: 0 }
    case 'class':
      return { elements: 1, wide: isWide(node.set) ? 1 : 0 }
    case 'seq':
    case 'alt': {
      const parts = node.items.map(size)
      return {
        elements: parts.reduce((sum, part) => sum + part.elements, 1),
        wide: parts.reduce((sum, part) => sum + part.wide, 0)
      }
    }
    case 'repeat': {
      if (node.min > MAX_REPEAT || (node.max ?? 0) > MAX_REPEAT) {
        throw new GrammarError(`repeats more than ${MAX_REPEAT} times`)
      }
      const count = Math.max(node.min + (node.max === null ? 1 : 0), node.max ?? 0)
      const inner = size(node.item)
      return { elements: 1 + inner.elements * count, wide: inner.wide * count }
    }
    default:
      return { elements: 1, wide: 0 }
  }
}

function isWide(set: CharSet): boolean {
  return set.reduce((sum, [a, b]) => sum + b - a + 1, 0) > 64
}

function refuseLeftRecursion(grammar: Grammar): void {
  const nullable = new Set<string>()
  for (let before = -1; before !== nullable.size; ) {
    before = nullable.size
    for (const [name, node] of grammar.rules) if (isNullable(node, nullable)) nullable.add(name)
  }
  const first = new Map([...grammar.rules].map(([name, node]) => [name, firstReferences(node, nullable)]))
  const state = new Map<string, 'open' | 'done'>()
  for (const start of grammar.rules.keys()) {
    const stack = [{ name: start, next: 0 }]
    if (state.has(start)) continue
    state.set(start, 'open')
    while (stack.length > 0) {
      const top = stack.at(-1)!
      const target = first.get(top.name)![top.next++]
      if (target === undefined) {
        state.set(top.name, 'done')
        stack.pop()
      } else if (state.get(target) === 'open') {
        throw new GrammarError(`rule ${target} begins with itself (left recursion)`)
      } else if (!state.has(target)) {
        state.set(target, 'open')
        stack.push({ name: target, next: 0 })
      }
    }
  }
}

function isNullable(node: Node, nullable: Set<string>): boolean {
  switch (node.kind) {
    case 'ref':
      return nullable.has(node.name)
    case 'seq':
      return node.items.every(item => isNullable(item, nullable))
    case 'alt':
      return node.items.some(item => isNullable(item, nullable))
    case 'repeat':
      return node.min === 0 || isNullable(node.item, nullable)
    case 'free':
      return true
    case 'text':
      return node.text === ''
    default:
      return false
  }
}

function firstReferences(node: Node, nullable: Set<string>): string[] {
  switch (node.kind) {
    case 'ref':
      return [node.name]
    case 'alt':
      return node.items.flatMap(item => firstReferences(item, nullable))
    case 'repeat':
      // What may match nothing, repeated, could do so for ever.
      return firstReferences(node.item, nullable)
    case 'seq': {
      const found: string[] = []
      for (const item of node.items) {
        found.push(...firstReferences(item, nullable))
        if (!isNullable(item, nullable)) break
      }
      return found
    }
    default:
      return []
  }
}
