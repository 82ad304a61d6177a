/**
 * Writes a checked grammar in the WASM engine's EBNF. Repetitions become right-recursive rules and regular rules become
 * automata, because that is what the engine masks quickly (see automaton.ts).
 */
import { compileDfa, type Dfa, TooManyStatesError } from './automaton.js'
import { type CharSet, intersect, subtract } from './charset.js'
import type { Grammar, Node } from './grammar.js'
import { utf8Sequences } from './utf8.js'

const ASCII: CharSet = [[0, 0x7f]]
/** Largest automaton that a regular rule is turned into; beyond it is written as it stands. */
const MAX_STATES = 256

/** @returns EBNF whose first rule is `root`. */
export function printGrammar(grammar: Grammar): string {
  return new Printer(grammar).print()
}

class Printer {
  private readonly lines: string[] = []
  private readonly names = new Map<string, string>()
  private readonly untils = new Map<string, string>()
  private helpers = 0

  constructor(private readonly grammar: Grammar) {}

  print(): string {
    const root = this.name(this.grammar.root)
    this.lines.push(`root ::= ${root}`)
    for (const [name, node] of this.grammar.rules) {
      const dfa = this.regular(name, node)
      if (dfa) this.automaton(this.name(name), dfa)
      else this.rule(this.name(name), this.node(node))
    }
    return `${this.lines.join('\n')}\n`
  }

  private rule(name: string, body: string): void {
    this.lines.push(`${name} ::= ${body}`)
  }

  private name(of: string): string {
    let name = this.names.get(of)
    if (!name) {
      name = `r${this.names.size}`
      this.names.set(of, name)
    }
    return name
  }

  private helper(): string {
    return `h${this.helpers++}`
  }

  /** The rule as an automaton, where it repeats something and refers only to rules that are themselves regular. */
  private regular(name: string, node: Node): Dfa | undefined {
    if (!repeats(node)) return undefined
    const inlined = this.inline(node, new Set([name]))
    if (!inlined) return undefined
    try {
      return compileDfa(inlined, MAX_STATES)
    } catch (error) {
      if (error instanceof TooManyStatesError) return undefined
      throw error
    }
  }

  private inline(node: Node, above: Set<string>, budget = { nodes: 2000 }): Node | undefined {
    if (--budget.nodes < 0) return undefined
    switch (node.kind) {
      case 'text':
      case 'class':
        return node
      case 'ref': {
        const rule = this.grammar.rules.get(node.name)
        if (!rule || above.has(node.name)) return undefined
        return this.inline(rule, new Set([...above, node.name]), budget)
      }
      case 'seq':
      case 'alt': {
        const items: Node[] = []
        for (const item of node.items) {
          const inlined = this.inline(item, above, budget)
          if (!inlined) return undefined
          items.push(inlined)
        }
        return { ...node, items }
      }
      case 'repeat': {
        const item = this.inline(node.item, above, budget)
        return item && { ...node, item }
      }
      default:
        return undefined
    }
  }

  private automaton(name: string, dfa: Dfa): void {
    const prefix = this.helper()
    const state = (id: number) => (id === 0 ? name : `${prefix}_${id}`)
    for (const [id, edges] of dfa.edges.entries()) {
      const branches = edges.flatMap(({ on, to }) => {
        const leaf = dfa.accepts[to] && dfa.edges[to]!.length === 0
        return printSet(on).map(written => (leaf ? written : `${written} ${state(to)}`))
      })
      if (dfa.accepts[id]) branches.unshift('""')
      const leaf = id !== 0 && dfa.accepts[id] && edges.length === 0
      if (!leaf) this.rule(state(id), branches.join(' | '))
    }
  }

  private node(node: Node): string {
    switch (node.kind) {
      case 'text':
        return printText(node.text)
      case 'class':
        return printSet(node.set).join(' | ')
      case 'ref':
        return this.name(node.name)
      case 'seq':
        return node.items.length === 0 ? '""' : node.items.map(item => this.grouped(item)).join(' ')
      case 'alt':
        return node.items.map(item => this.node(item)).join(' | ')
      case 'repeat':
        return this.repetition(node)
      case 'until':
        return this.until(node.stop)
      case 'free':
        return this.free(node)
    }
  }

  private grouped(node: Node): string {
    return node.kind === 'alt' || node.kind === 'class' ? `(${this.node(node)})` : this.node(node)
  }

  private repetition({ item, min, max }: Node & { kind: 'repeat' }): string {
    const once = this.grouped(item)
    if (min === 0 && max === 1) return `(${this.node(item)} | "")`
    const parts = Array.from({ length: min }, () => once)
    if (max === null) {
      const name = this.helper()
      this.rule(name, `"" | ${once} ${name}`)
      parts.push(name)
    } else if (max > min) {
      let rest = ''
      for (let i = min; i < max; i++) {
        const name = this.helper()
        this.rule(name, `"" | ${once} ${rest}`)
        rest = name
      }
      parts.push(rest)
    }
    return parts.join(' ')
  }

  private until(stop: string): string {
    let name = this.untils.get(stop)
    if (!name) {
      name = this.helper()
      this.untils.set(stop, name)
      this.rule(name, `TagDispatch(stop_eos=false, stop_str=(${printText(stop)}), loop_after_dispatch=false)`)
    }
    return name
  }

  private free({ triggers, loop }: Node & { kind: 'free' }): string {
    const name = this.helper()
    const pairs = triggers
      .map(({ trigger, rule }) => `(${printText(trigger)}, ${this.name(rule)}), `)
      .join('')
    this.rule(name, `TagDispatch(${pairs}stop_eos=true, stop_str=(), loop_after_dispatch=${loop})`)
    return name
  }
}

function repeats(node: Node): boolean {
  if (node.kind === 'repeat') return node.max === null || node.max > 1
  return (node.kind === 'seq' || node.kind === 'alt') && node.items.some(repeats)
}

export function printText(value: string): string {
  return `"${[...value].map(char => printChar(char.codePointAt(0)!)).join('')}"`
}

/**
 * Ways to write a set of characters, any of which may match. The engine's classes (version 0.1.27) are right for ASCII
 * only: beyond, a class takes numbers for bytes, and a negated one lets every byte above 127 through, also where that
 * is no UTF-8 (its issues 696 and 848). So the UTF-8 is spelled out in byte ranges; a class of one byte must be doubled
 * to be read as one.
 */
export function printSet(set: CharSet): string[] {
  const ascii = intersect(set, ASCII)
  const written = ascii.length > 0 ? [`[${ranges(ascii)}]`] : []
  for (const sequence of utf8Sequences(subtract(set, ASCII))) {
    const bytes = sequence.map(([a, b]) =>
      a === b ? `[${printChar(a)}${printChar(a)}]` : `[${ranges([[a, b]])}]`
    )
    written.push(bytes.join(' '))
  }
  return written
}

function ranges(set: CharSet): string {
  return set.map(([a, b]) => (a === b ? printChar(a) : `${printChar(a)}-${printChar(b)}`)).join('')
}

/** Letters and digits as they are, everything else escaped: no character then has a meaning in the EBNF. */
function printChar(code: number): string {
  const char = String.fromCodePoint(code)
  if (/[a-zA-Z0-9]/.test(char)) return char
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, '0')}`
  return `\\U${code.toString(16).padStart(8, '0')}`
}
