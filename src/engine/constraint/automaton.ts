/**
 * Deterministic automata over code points: what regular parts of a grammar (strings, patterns, numbers, keys) are
 * compiled to. Printed as right-linear rules they are what the WASM engine is fast with: a `char*` of its own keeps
 * 86 ms per token at a vocabulary of 151k, the same string as a right-recursive rule 0.05 ms.
 */
import { ALL, type CharSet, complement, intersect, union } from './charset.js'
import type { Node } from './grammar.js'

export interface Edge {
  on: CharSet
  to: number
}

/** State 0 is the start. Edges of a state do not overlap; what has no edge is refused. */
export interface Dfa {
  accepts: boolean[]
  edges: Edge[][]
}

/** The automaton would have more states than allowed. */
export class TooManyStatesError extends Error {
  constructor(readonly limit: number) {
    super(`more than ${limit} states`)
    this.name = 'TooManyStatesError'
  }
}

const LIMIT = 4096
/** Two code points that no text holds: where it begins and where it ends (for ^ and $ in patterns). */
export const BEGIN = 0x110000
export const END = 0x110001

interface Nfa {
  empty: number[][]
  edges: Edge[][]
}

/**
 * Compiles a node without references.
 * @throws TooManyStatesError
 */
export function compileDfa(node: Node, limit = LIMIT): Dfa {
  const nfa: Nfa = { empty: [], edges: [] }
  const state = () => {
    if (nfa.empty.length >= limit * 4) throw new TooManyStatesError(limit)
    nfa.edges.push([])
    return nfa.empty.push([]) - 1
  }
  // Adds the node behind `from`; returns the state where it ends.
  const add = (part: Node, from: number): number => {
    switch (part.kind) {
      case 'text': {
        let at = from
        for (const char of part.text) {
          const code = char.codePointAt(0)!
          const to = state()
          nfa.edges[at]!.push({ on: [[code, code]], to })
          at = to
        }
        return at
      }
      case 'class': {
        const to = state()
        if (part.set.length > 0) nfa.edges[from]!.push({ on: part.set, to })
        return to
      }
      case 'seq':
        return part.items.reduce((at, item) => add(item, at), from)
      case 'alt': {
        const to = state()
        for (const item of part.items) {
          const start = state()
          nfa.empty[from]!.push(start)
          nfa.empty[add(item, start)]!.push(to)
        }
        return to
      }
      case 'repeat': {
        let at = from
        for (let i = 0; i < part.min; i++) at = add(part.item, at)
        if (part.max === null) {
          const loop = state()
          nfa.empty[at]!.push(loop)
          nfa.empty[add(part.item, loop)]!.push(loop)
          const to = state()
          nfa.empty[loop]!.push(to)
          return to
        }
        const to = state()
        for (let i = part.min; i < part.max; i++) {
          nfa.empty[at]!.push(to)
          const next = state()
          nfa.empty[at]!.push(next)
          at = add(part.item, next)
        }
        nfa.empty[at]!.push(to)
        return to
      }
      default:
        throw new TypeError(`not regular: ${part.kind}`)
    }
  }
  const start = state()
  const final = add(node, start)
  return minimise(determinise(nfa, start, final, limit))
}

function determinise(nfa: Nfa, start: number, final: number, limit: number): Dfa {
  const closure = (states: Iterable<number>): number[] => {
    const seen = new Set(states)
    const open = [...seen]
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const next of nfa.empty[at]!) {
        if (!seen.has(next)) {
          seen.add(next)
          open.push(next)
        }
      }
    }
    return [...seen].sort((a, b) => a - b)
  }
  return explore(
    closure([start]),
    states => states.join(),
    states => states.includes(final),
    states => {
      const steps = split(states.flatMap(state => nfa.edges[state]!))
      return steps.map(({ on, targets }) => ({ on, to: closure(targets) }))
    },
    limit
  )
}

/** Cuts overlapping edges into disjoint ones with all their targets; edges with the same targets are joined. */
function split(edges: Edge[]): Array<{ on: CharSet; targets: number[] }> {
  const cuts = [...new Set(edges.flatMap(edge => edge.on.flatMap(([a, b]) => [a, b + 1])))].sort(
    (a, b) => a - b
  )
  const index = new Map(cuts.map((cut, i) => [cut, i]))
  const pieces: Array<Set<number>> = cuts.map(() => new Set())
  for (const edge of edges) {
    for (const [a, b] of edge.on) {
      for (let i = index.get(a)!; cuts[i]! <= b; i++) pieces[i]!.add(edge.to)
    }
  }
  const joined = new Map<string, { on: Array<[number, number]>; targets: number[] }>()
  for (const [i, targets] of pieces.entries()) {
    if (targets.size === 0) continue
    const list = [...targets].sort((a, b) => a - b)
    const range: [number, number] = [cuts[i]!, cuts[i + 1]! - 1]
    const same = joined.get(list.join())
    if (same) same.on.push(range)
    else joined.set(list.join(), { on: [range], targets: list })
  }
  return [...joined.values()].map(({ on, targets }) => ({ on: union(on), targets }))
}

/**
 * Builds an automaton from a description of its states: a key per state, whether it accepts, where it goes.
 * @throws TooManyStatesError
 */
export function explore<S>(
  start: S,
  key: (state: S) => string,
  accepts: (state: S) => boolean,
  next: (state: S) => Array<{ on: CharSet; to: S }>,
  limit = LIMIT
): Dfa {
  const ids = new Map([[key(start), 0]])
  const states = [start]
  const dfa: Dfa = { accepts: [], edges: [] }
  for (let at = 0; at < states.length; at++) {
    dfa.accepts.push(accepts(states[at]!))
    dfa.edges.push(
      next(states[at]!).map(({ on, to }) => {
        const name = key(to)
        let id = ids.get(name)
        if (id === undefined) {
          if (states.length >= limit) throw new TooManyStatesError(limit)
          id = states.push(to) - 1
          ids.set(name, id)
        }
        return { on, to: id }
      })
    )
  }
  return dfa
}

/** The same language with the fewest states; states from which nothing can be accepted are cut off. */
export function minimise(dfa: Dfa): Dfa {
  const alive = living(dfa)
  if (!alive.has(0)) return { accepts: [false], edges: [[]] }
  const edges = dfa.edges.map(list => list.filter(edge => alive.has(edge.to)))
  // Moore: refine by (own class, classes reached) until the number of classes stays.
  let group: number[] = dfa.accepts.map(accepts => (accepts ? 1 : 0))
  for (let count = 0; ; ) {
    const names = new Map<string, number>()
    group = group.map((own, state) => {
      const reached = new Map<number, CharSet>()
      for (const { on, to } of edges[state]!)
        reached.set(group[to]!, union(reached.get(group[to]!) ?? [], on))
      const signature = [...reached].sort((a, b) => a[0] - b[0]).map(([to, on]) => `${to}:${on.join(';')}`)
      const name = `${own}|${signature.join('|')}`
      if (!names.has(name)) names.set(name, names.size)
      return names.get(name)!
    })
    if (names.size === count) break
    count = names.size
  }
  const first = new Map<number, number>()
  for (const [state, id] of group.entries()) if (!first.has(id)) first.set(id, state)
  return explore<number>(
    group[0]!,
    String,
    id => dfa.accepts[first.get(id)!]!,
    id => {
      const joined = new Map<number, CharSet>()
      for (const { on, to } of edges[first.get(id)!]!) {
        joined.set(group[to]!, union(joined.get(group[to]!) ?? [], on))
      }
      return [...joined].map(([to, on]) => ({ on, to }))
    },
    Number.POSITIVE_INFINITY
  )
}

function living(dfa: Dfa): Set<number> {
  const sources: number[][] = dfa.edges.map(() => [])
  for (const [from, list] of dfa.edges.entries()) for (const edge of list) sources[edge.to]!.push(from)
  const alive = new Set<number>()
  const open = dfa.accepts.flatMap((accepts, state) => (accepts ? [state] : []))
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (alive.has(at)) continue
    alive.add(at)
    open.push(...sources[at]!)
  }
  return alive
}

export function isEmpty(dfa: Dfa): boolean {
  return !living(dfa).has(0)
}

/** What both accept. */
export function intersection(a: Dfa, b: Dfa): Dfa {
  return minimise(
    explore(
      [0, 0] as [number, number],
      String,
      ([i, j]) => a.accepts[i]! && b.accepts[j]!,
      ([i, j]) =>
        a.edges[i]!.flatMap(x =>
          b.edges[j]!.flatMap(y => {
            const on = intersect(x.on, y.on)
            return on.length > 0 ? [{ on, to: [x.to, y.to] as [number, number] }] : []
          })
        )
    )
  )
}

/** Every text of characters that the automaton does not accept. */
export function inverse(dfa: Dfa): Dfa {
  const sink = dfa.edges.length
  const edges = dfa.edges.map(list => {
    const rest = complement(union(...list.map(edge => edge.on)))
    return rest.length > 0 ? [...list, { on: rest, to: sink }] : list
  })
  return minimise({
    accepts: [...dfa.accepts.map(accepts => !accepts), true],
    edges: [...edges, [{ on: ALL, to: sink }]]
  })
}

/** Texts of `min` to `max` characters. */
export function ofLength(min: number, max: number | null): Dfa {
  return explore<number>(
    0,
    String,
    count => count >= min,
    count =>
      max === null && count >= min
        ? [{ on: ALL, to: count }]
        : count === max
          ? []
          : [{ on: ALL, to: count + 1 }]
  )
}

/** Exactly these texts. */
export function ofTexts(texts: Iterable<string>): Dfa {
  return compileDfa({ kind: 'alt', items: [...texts].map(value => ({ kind: 'text', text: value })) })
}

export function step(dfa: Dfa, state: number, code: number): number | undefined {
  return dfa.edges[state]!.find(edge => edge.on.some(([a, b]) => code >= a && code <= b))?.to
}

export function accepts(dfa: Dfa, value: string): boolean {
  let state: number | undefined = 0
  for (const char of value) {
    state = step(dfa, state, char.codePointAt(0)!)
    if (state === undefined) return false
  }
  return dfa.accepts[state]!
}
