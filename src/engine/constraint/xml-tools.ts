/**
 * Calls whose arguments are tags (Qwen3-Coder, GLM, MiniMax): texts stand there as they are, up to the closing tag;
 * all other values are JSON. Members come in the order of the schema, as in JSON.
 */
import { intersection, inverse, TooManyStatesError } from './automaton.js'
import { ConstraintError } from './errors.js'
import { alt, chars, type Node, optional, ref, repeat, seq, text } from './grammar.js'
import { PatternError, patternDfa } from './regex.js'
import { automatonRules } from './rules.js'
import { addMembers, type Member, type SchemaOptions } from './schema.js'
import { listedValues, typesOf } from './schema-types.js'
import { STRING_FORMATS } from './string-formats.js'
import { contentDfa } from './strings.js'
import type { XmlSyntax } from './tool-syntax.js'

const BREAK = optional(text('\n'))
/** Keys that a schema does not list. */
const ANY_KEY = repeat(
  chars([
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5f, 0x5f],
    [0x61, 0x7a],
    [0x2d, 0x2e]
  ]),
  1,
  64
)
/** Counting characters costs a pass over the vocabulary each (see schema.ts). */
const MAX_COUNTED_CHARACTERS = 128

export interface XmlCall {
  /** The name and everything up to the end of the call. */
  node: Node
  unenforced: string[]
}

/** @throws ConstraintError */
export function addXmlCall(
  rules: Map<string, Node>,
  syntax: XmlSyntax,
  name: string,
  parameters: unknown,
  options: SchemaOptions
): XmlCall {
  const { members, others, unenforced } = addMembers(rules, parameters, options)
  const values = new Values(rules, syntax, options, unenforced)
  const nodes = members.map(member => {
    const node = seq(key(syntax, text(member.name)), values.node(member), BREAK)
    return member.required ? node : optional(node)
  })
  const other = seq(key(syntax, ANY_KEY), values.any(), BREAK)
  return {
    node: seq(
      text(name + syntax.nameEnd),
      BREAK,
      ...nodes,
      ...(others ? [repeat(other, 0, null)] : []),
      text(syntax.end)
    ),
    unenforced
  }
}

function key(syntax: XmlSyntax, name: Node): Node {
  const tags = syntax.keyEnd.flatMap((tag, i) => (i > 0 ? [BREAK, text(tag)] : [text(tag)]))
  return seq(text(syntax.keyOpen), name, ...tags)
}

class Values {
  private count = 0

  constructor(
    private readonly rules: Map<string, Node>,
    private readonly syntax: XmlSyntax,
    private readonly options: SchemaOptions,
    private readonly unenforced: string[]
  ) {}

  /** Any text, and the tag behind it. */
  any(): Node {
    return { kind: 'until', stop: this.syntax.valueEnd }
  }

  node({ schema, flat, json, root, name }: Member): Node {
    const close = text(this.syntax.valueEnd)
    const types = typesOf(schema, root)
    const edge = this.syntax.lines ? BREAK : text('')
    if (types && !types.has('string')) return seq(edge, json, edge, close)
    const listed = flat && listedValues(flat)
    if (listed) {
      const written = listed.map(value => text(typeof value === 'string' ? value : JSON.stringify(value)))
      return seq(edge, alt(...written), edge, close)
    }
    if (!flat || types === null || types.size > 1 || !limited(flat)) return this.any()
    return this.limitedText(flat, `${this.options.param}/properties/${name}`) ?? this.any()
  }

  /** A text with a pattern, a format or a length; null: it cannot be held. */
  private limitedText(schema: Record<string, unknown>, at: string): Node | null {
    const { valueEnd, lines } = this.syntax
    const patterns = (schema.pattern === undefined ? [] : [schema.pattern].flat()) as string[]
    const format = STRING_FORMATS.get(String(schema.format))
    if (format) patterns.push(format)
    const counted = (keyword: string) => {
      const value = schema[keyword]
      if (typeof value !== 'number' || value <= MAX_COUNTED_CHARACTERS) return value as number | undefined
      this.problem(at, keyword)
      return undefined
    }
    try {
      const content = contentDfa({
        minLength: counted('minLength') ?? 0,
        maxLength: counted('maxLength') ?? null,
        patterns
      })
      if (!content) return null
      // The first closing tag ends the value.
      const whole = intersection(content, inverse(containing(valueEnd)))
      const rule = `${this.options.prefix}text${this.count++}`
      const edge = lines ? '\n' : ''
      for (const [name, node] of automatonRules(rule, whole, text(edge + valueEnd)))
        this.rules.set(name, node)
      return seq(text(edge), ref(rule))
    } catch (error) {
      if (!(error instanceof TooManyStatesError) && !(error instanceof PatternError)) throw error
      this.problem(at, schema.pattern === undefined ? 'maxLength' : 'pattern')
      return null
    }
  }

  private problem(at: string, keyword: string): void {
    if (this.options.strict) throw new ConstraintError(`${at}/${keyword}`, `${keyword}: is too complex`)
    this.unenforced.push(`${at.slice(this.options.param.length)}/${keyword}`)
  }
}

function limited(schema: Record<string, unknown>): boolean {
  return ['pattern', 'format', 'minLength', 'maxLength'].some(keyword => schema[keyword] !== undefined)
}

function containing(tag: string) {
  return patternDfa(tag.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'))
}
