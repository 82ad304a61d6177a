/** Automata as right-linear grammar rules. */
import type { Dfa } from './automaton.js'
import type { CharSet } from './charset.js'
import { chars, type Node, ref, seq } from './grammar.js'

/**
 * @param name of the rule for the start state; the others are `name.1`, `name.2`, ...
 * @param end what follows where the automaton accepts.
 * @param encode how a set of characters is written in the output (one node per way to write it).
 */
export function automatonRules(
  name: string,
  dfa: Dfa,
  end: Node,
  encode: (on: CharSet) => Node[] = on => [chars(on)]
): Array<[name: string, node: Node]> {
  const state = (id: number) => (id === 0 ? name : `${name}.${id}`)
  return dfa.edges.map((edges, id) => {
    const branches = edges.flatMap(({ on, to }) => {
      const last = dfa.accepts[to] && dfa.edges[to]!.length === 0
      return encode(on).map(node => seq(node, last ? end : ref(state(to))))
    })
    if (dfa.accepts[id]) branches.unshift(end)
    return [state(id), { kind: 'alt', items: branches }]
  })
}
