/** Tool calls as grammar: which calls, with which arguments, are let through, and where. */
import type { Constraint } from '../messages.js'
import { ALL, charsOf, complement, intersect } from './charset.js'
import { ConstraintError } from './errors.js'
import { alt, chars, type Node, optional, ref, repeat, seq, text } from './grammar.js'
import { addSchema } from './schema.js'
import { isObject } from './schema-bounds.js'
import {
  isToolFormat,
  type JsonSyntax,
  type NamedSyntax,
  TOOL_SYNTAXES,
  type ToolSyntax,
  type XmlSyntax
} from './tool-syntax.js'
import { addXmlCall } from './xml-tools.js'

const DIGIT = chars([[0x30, 0x39]])
const LINE_BREAK = optional(text('\n'))

type Tools = Constraint & { type: 'tools' }

export interface ToolRules {
  /** One call or more, and nothing else; without thinking. */
  calls: Node
  /** Where calls are optional: any text, calls behind triggers. */
  free: Node | null
  syntax: ToolSyntax
  unenforced: string[]
}

/** @throws ConstraintError */
export function addTools(rules: Map<string, Node>, constraint: Tools): ToolRules {
  if (!isToolFormat(constraint.format)) {
    throw new ConstraintError('tools', `unknown tool format ${JSON.stringify(constraint.format)}`)
  }
  const syntax = TOOL_SYNTAXES[constraint.format]
  const named = constraint.choice !== 'auto' && constraint.choice !== 'required'
  const tools = constraint.tools.filter(tool => !named || tool.name === constraint.choice)
  if (tools.length === 0) {
    throw new ConstraintError(
      'tools',
      named ? `there is no tool named ${JSON.stringify(constraint.choice)}` : 'no tools'
    )
  }
  const unenforced: string[] = []
  const calls = tools.map((tool, i) => {
    const index = constraint.tools.indexOf(tool)
    const param = `tools/${index}/parameters`
    const schema = argumentsSchema(tool.parameters, param)
    const options = { strict: tool.strict ?? false, ignoreUnknown: true, param, prefix: `tool${i}.` }
    const added =
      syntax.style === 'xml'
        ? addXmlCall(rules, syntax, tool.name, schema, options)
        : addSchema(rules, schema, options)
    unenforced.push(...added.unenforced.map(pointer => `${param}${pointer}`))
    return syntax.style === 'xml' ? added.node : call(syntax, tool.name, added.node)
  })
  rules.set('call', alt(...calls))
  const many = constraint.parallel && syntax.name !== 'harmony'
  rules.set('section', section(syntax, many))
  if (syntax.style === 'xml') rules.set('bare', bareSection(syntax))
  const free = constraint.choice === 'auto' ? auto(syntax, many) : null
  return { calls: forced(syntax, many), free, syntax, unenforced }
}

/** Arguments are always an object; a tool without parameters takes none. */
function argumentsSchema(parameters: unknown, param: string): unknown {
  if (parameters === undefined || parameters === null) return { type: 'object', properties: {} }
  if (!isObject(parameters)) return parameters
  const types = [parameters.type ?? 'object'].flat()
  if (types.includes('object')) return { ...parameters, type: 'object' }
  throw new ConstraintError(param, 'the parameters of a tool are of type object')
}

function call(syntax: JsonSyntax | NamedSyntax, name: string, args: Node): Node {
  if (syntax.style === 'named') {
    const { numbered, middle, end } = syntax
    const named = numbered === undefined ? text(name) : seq(text(`${numbered}${name}:`), repeat(DIGIT, 1, 4))
    return seq(named, text(middle[0]!), args, text(end))
  }
  const quoted = text(JSON.stringify(name))
  return seq(
    text('{"name":'),
    optional(text(' ')),
    quoted,
    text(','),
    optional(text(' ')),
    text(`"${syntax.argumentsKey}":`),
    optional(text(' ')),
    args,
    text('}')
  )
}

function forced(syntax: ToolSyntax, many: boolean): Node {
  const trigger = syntax.triggers[0]!
  const begin = syntax.name === 'llama3' ? text('') : text(trigger)
  if (!many || syntax.separator !== null) return seq(begin, ref('section'))
  const one = seq(begin, ref('section'))
  const between = syntax.style === 'xml' ? LINE_BREAK : text('\n')
  return seq(one, repeat(seq(between, one), 0, null))
}

/** What follows a trigger. */
function section(syntax: ToolSyntax, many: boolean): Node {
  if (syntax.style === 'named') {
    const one = seq(text(syntax.open), ref('call'))
    const more =
      many && syntax.separator !== null ? repeat(seq(text(syntax.separator), one), 0, null) : text('')
    return seq(one, more, text(syntax.close))
  }
  if (syntax.style === 'xml') {
    const one = seq(text(syntax.open), ref('call'), LINE_BREAK)
    const calls = many && syntax.separator !== null ? repeat(one, 1, null) : one
    return seq(LINE_BREAK, calls, text(syntax.close))
  }
  const blank = alt(text(''), text(' '), text('\n'))
  const more =
    many && syntax.separator !== null
      ? repeat(seq(text(syntax.separator.trim()), blank, ref('call')), 0, null)
      : text('')
  if (syntax.array) return seq(optional(text(' ')), text('['), blank, ref('call'), more, blank, text(']'))
  return syntax.close === ''
    ? seq(ref('call'), more)
    : seq(blank, ref('call'), more, blank, text(syntax.close))
}

/** Behind a trigger that opens the call itself. */
function bareSection(syntax: XmlSyntax): Node {
  return seq(ref('call'), LINE_BREAK, optional(text(syntax.close)))
}

function auto(syntax: ToolSyntax, many: boolean): Node {
  // After a section that only the end of the answer closes, the answer ends.
  const loop = many && syntax.close !== '' && syntax.separator === null
  const free: Node = {
    kind: 'free',
    triggers: syntax.triggers.map(trigger => ({
      trigger,
      rule: syntax.style === 'xml' && trigger === syntax.open ? 'bare' : 'section'
    })),
    loop: loop || (many && syntax.name === 'function-tag')
  }
  if (syntax.name !== 'llama3') return free
  const other = chars(intersect(ALL, complement(charsOf('{ \n\t'))))
  return alt(ref('section'), text(''), seq(other, free), seq(chars(charsOf(' \n\t')), free))
}
