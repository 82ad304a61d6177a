/** From what a client asks for to a grammar that the WASM engine takes. Pure; runs in the constraint thread. */
import type { Constraint, JsonConstraint } from '../messages.js'
import { checkGrammar, GrammarError } from './check.js'
import { ConstraintError } from './errors.js'
import { parseGbnf } from './gbnf.js'
import { alt, type Node, repeat, seq, text } from './grammar.js'
import { ANY_OBJECT, jsonRules } from './json.js'
import { printGrammar } from './print.js'
import type { PreparedGrammar } from './protocol.js'
import { addSchema, type SchemaRules } from './schema.js'
import { afterThinking, type Thinking, thinkingControl } from './thinking.js'
import { addTools, type ToolRules } from './tools.js'

/** A constraint, and how the model thinks before it answers: the constraint holds for what comes after the thinking. */
export type ConstraintInput = Constraint & { thinking?: Thinking }

const PARAM = {
  json_object: 'response_format',
  json_schema: 'schema',
  grammar: 'grammar',
  tools: 'tools'
} as const

/** @throws ConstraintError */
export function prepareConstraint(input: ConstraintInput): PreparedGrammar {
  try {
    return prepare(input)
  } catch (error) {
    if (error instanceof GrammarError) throw new ConstraintError(PARAM[input.type], error.message)
    throw error
  }
}

function prepare(input: ConstraintInput): PreparedGrammar {
  const rules = new Map<string, Node>()
  const control = thinkingControl(input.thinking)
  let unenforced: string[] = []
  let answer: Node
  switch (input.type) {
    case 'json_object':
    case 'json_schema': {
      for (const [name, node] of jsonRules()) rules.set(name, node)
      const added = addJson(rules, input)
      answer = added.node
      unenforced = added.unenforced
      break
    }
    case 'grammar': {
      const parsed = parseGbnf(input.grammar)
      for (const [name, node] of parsed.rules) rules.set(`client.${name}`, renamed(node))
      answer = { kind: 'ref', name: `client.${parsed.root}` }
      break
    }
    case 'tools': {
      for (const [name, node] of jsonRules()) rules.set(name, node)
      const added = addTools(rules, input)
      control.push(...added.syntax.control)
      unenforced = added.unenforced
      const other = input.choice === 'auto' && input.otherwise ? addJson(rules, input.otherwise) : null
      if (other) unenforced.push(...other.unenforced)
      if (input.thinking?.kind === 'channels')
        return finish(rules, channels(added, other?.node ?? null), control, unenforced)
      answer = other ? alt(other.node, added.calls) : (added.free ?? added.calls)
      break
    }
  }
  return finish(rules, afterThinking(input.thinking, answer), control, unenforced)
}

function finish(
  rules: Map<string, Node>,
  root: Node,
  control: string[],
  unenforced: string[]
): PreparedGrammar {
  rules.set('root', root)
  return {
    ebnf: printGrammar(checkGrammar({ root: 'root', rules })),
    control: [...new Set(control)],
    unenforced
  }
}

function addJson(rules: Map<string, Node>, json: JsonConstraint): SchemaRules {
  if (json.type === 'json_object') return { node: ANY_OBJECT, unenforced: [] }
  return addSchema(rules, json.schema, { strict: json.strict, param: 'schema', prefix: 'schema.' })
}

/** Harmony: a forced call comes after the analysis; with `auto` the free text holds all the channels. */
function channels({ calls, free }: ToolRules, other: Node | null): Node {
  if (free && !other) return free
  const analysis = seq(
    text('<|channel|>analysis<|message|>'),
    { kind: 'until', stop: '<|end|>' },
    text('<|start|>assistant')
  )
  const answer = other && seq(text('<|channel|>final<|message|>'), other)
  return seq(repeat(analysis, 0, 1), answer ? alt(answer, calls) : calls)
}

/** A client's rule may have the name of one of ours. */
function renamed(node: Node): Node {
  switch (node.kind) {
    case 'ref':
      return { kind: 'ref', name: `client.${node.name}` }
    case 'seq':
    case 'alt':
      return { ...node, items: node.items.map(renamed) }
    case 'repeat':
      return { ...node, item: renamed(node.item) }
    default:
      return node
  }
}
