/**
 * JSON Schema to grammar. What the grammar lets through is a subset of what the schema allows: properties come in the
 * order of the schema, numbers have at most 15 digits, objects that list properties are closed unless they say
 * otherwise. A keyword that a grammar cannot hold is an error in strict mode; otherwise it is named in `unenforced`,
 * and holds only when the finished text is validated.
 */
import { accepts, type Dfa, intersection, inverse, ofTexts, TooManyStatesError } from './automaton.js'
import { ConstraintError } from './errors.js'
import { alt, NEVER, type Node, optional, ref, repeat, seq, text } from './grammar.js'
import * as json from './json.js'
import { ANNOTATIONS, MergeError, mergeSchemas } from './merge.js'
import { ANY_INTEGER, ANY_NUMBER, NumberLimitError, numberDfas } from './numbers.js'
import { PatternError, patternDfa } from './regex.js'
import { automatonRules } from './rules.js'
import { boundSchema, isObject, type ObjectSchema, resolvePointer, type Schema } from './schema-bounds.js'
import { disjoint } from './schema-branches.js'
import { COMPOSED, constrains, isImplied, KEYWORDS_OF_TYPE, TYPES, UNENFORCEABLE } from './schema-keywords.js'
import { STRING_FORMATS } from './string-formats.js'
import { contentDfa, stringRules } from './strings.js'
import { allowsValue, checkSchema } from './validate.js'

const MAX_COUNTED_CHARACTERS = 128
const MAX_ITEMS = 1000
const MAX_MERGES = 2000

export interface SchemaOptions {
  /** A keyword that the grammar cannot hold is an error. */
  strict: boolean
  /** Also then, keywords that JSON Schema does not know are nobody's mistake. */
  ignoreUnknown?: boolean
  /** Where the schema stands, for messages. */
  param: string
  /** Begins the names of its rules. */
  prefix: string
}

export interface SchemaRules {
  /** The whole document. */
  node: Node
  /** JSON pointers of keywords that are not held by the grammar (never in strict mode). */
  unenforced: string[]
}

/**
 * Adds the rules of a schema to `rules` (which hold `jsonRules()` already), with names that begin with `prefix`.
 * @throws ConstraintError
 */
export function addSchema(rules: Map<string, Node>, schema: unknown, options: SchemaOptions): SchemaRules {
  boundSchema(schema, options.param)
  checkSchema(schema, options.param)
  const compiler = new SchemaCompiler(rules, schema, options)
  return { node: compiler.schema(schema, ''), unenforced: compiler.unenforced }
}

/** One member of an object, for syntaxes that write members in their own way. */
export interface Member {
  name: string
  required: boolean
  schema: Schema
  /** The schema with references and `allOf` resolved; null: a boolean one. */
  flat: ObjectSchema | null
  /** The value as JSON. */
  json: Node
  /** The document that references in `schema` lead into. */
  root: Schema
}

/**
 * The members of an object schema, with rules for their values; otherwise as `addSchema`.
 * @returns `others`: members that are not listed are allowed.
 * @throws ConstraintError
 */
export function addMembers(
  rules: Map<string, Node>,
  schema: unknown,
  options: SchemaOptions
): { members: Member[]; others: boolean; unenforced: string[] } {
  boundSchema(schema, options.param)
  checkSchema(schema, options.param)
  const compiler = new SchemaCompiler(rules, schema, options)
  return { ...compiler.members(), unenforced: compiler.unenforced }
}

class SchemaCompiler {
  readonly unenforced: string[] = []
  private readonly named = new Map<Schema, string>()
  private count = 0
  private merges = 0

  constructor(
    private readonly rules: Map<string, Node>,
    private readonly root: Schema,
    private readonly options: SchemaOptions
  ) {}

  /** @param at JSON pointer of the schema, for messages. */
  schema(schema: Schema, at: string): Node {
    if (schema === true) return json.ANY_VALUE
    if (schema === false) return NEVER
    const known = this.named.get(schema)
    if (known) return ref(known)
    const name = this.rule(null)
    this.named.set(schema, name)
    this.rules.set(name, this.body(schema, at))
    return ref(name)
  }

  /** Of the root, an object. Alternatives of whole objects cannot be held: any members are let through then. */
  members(): { members: Member[]; others: boolean } {
    const flat = this.flat(this.root, '')
    if (!isObject(flat)) return { members: [], others: flat }
    if (flat.anyOf !== undefined) {
      this.problem('', 'anyOf', 'is not supported for the parameters as a whole in this syntax')
      return { members: [], others: true }
    }
    this.checkKeywords(flat, '')
    const properties = isObject(flat.properties) ? (flat.properties as Record<string, Schema>) : {}
    const required = new Set((flat.required ?? []) as string[])
    const names = [...new Set([...Object.keys(properties), ...required])]
    const others = flat.additionalProperties ?? flat.properties === undefined
    const members = names.flatMap((name): Member[] => {
      const schema = Object.hasOwn(properties, name) ? (properties[name] as Schema) : true
      const json = this.schema(schema, `/properties/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`)
      if (json === NEVER && !required.has(name)) return []
      const resolved = this.flat(schema, '')
      return [
        {
          name,
          required: required.has(name),
          schema,
          flat: isObject(resolved) ? resolved : null,
          json,
          root: this.root
        }
      ]
    })
    return { members, others: others !== false }
  }

  private body(schema: ObjectSchema, at: string): Node {
    if (schema.$ref !== undefined) return this.reference(schema, at)
    if (Array.isArray(schema.allOf)) {
      const { allOf, ...rest } = schema
      return this.schema(this.merge([rest, ...(allOf as Schema[])], at, 'allOf'), at)
    }
    for (const keyword of ['anyOf', 'oneOf'] as const) {
      if (Array.isArray(schema[keyword])) return this.union(schema, keyword, at)
    }
    this.checkKeywords(schema, at)
    if (schema.const !== undefined) return this.values(schema, [schema.const], at)
    if (Array.isArray(schema.enum)) return this.values(schema, schema.enum, at)
    return alt(...this.types(schema).map(type => this.typed(type, schema, at)))
  }

  private reference(schema: ObjectSchema, at: string): Node {
    const target = resolvePointer(this.root, String(schema.$ref))
    if (target === undefined)
      this.refuse(at, '$ref', `${schema.$ref} does not lead to a schema of this document`)
    const { $ref, ...rest } = schema
    if (!constrains(rest)) return this.schema(target, at)
    return this.schema(this.merge([rest, target], at, '$ref'), at)
  }

  private union(schema: ObjectSchema, keyword: 'anyOf' | 'oneOf', at: string): Node {
    const { [keyword]: listed, ...rest } = schema
    const branches = listed as Schema[]
    if (keyword === 'oneOf' && !disjoint(branches.map(branch => this.flat(branch, at)))) {
      this.problem(
        at,
        'oneOf',
        'its branches may overlap (only branches of different types, or told apart by a required constant, are supported; use anyOf)'
      )
    }
    return alt(
      ...branches.map((branch, i) => {
        const path = `${at}/${keyword}/${i}`
        return this.schema(constrains(rest) ? this.merge([rest, branch], path, keyword) : branch, path)
      })
    )
  }

  /** All of them as one, references and inner `allOf`s resolved. */
  private merge(parts: Schema[], at: string, keyword: string): Schema {
    if (++this.merges > MAX_MERGES) this.refuse(at, keyword, 'combines too many schemas')
    try {
      return parts.map(part => this.flat(part, at)).reduce(mergeSchemas)
    } catch (error) {
      if (!(error instanceof MergeError)) throw error
      return this.refuse(at, keyword, `cannot be combined: ${error.keyword} stands on both sides`)
    }
  }

  private flat(schema: Schema, at: string, depth = 0): Schema {
    if (typeof schema === 'boolean') return schema
    if (depth > 50) this.refuse(at, '$ref', 'refers to itself')
    const { $ref, allOf, oneOf, ...rest } = schema
    const parts: Schema[] = [rest]
    if ($ref !== undefined) {
      const target = resolvePointer(this.root, String($ref))
      if (target === undefined) this.refuse(at, '$ref', `${$ref} does not lead to a schema of this document`)
      parts.push(target)
    }
    if (Array.isArray(allOf)) parts.push(...(allOf as Schema[]))
    if (Array.isArray(oneOf)) {
      if (!disjoint((oneOf as Schema[]).map(branch => this.flat(branch, at, depth + 1)))) {
        this.problem(at, 'oneOf', 'its branches may overlap (use anyOf)')
      }
      parts.push({ anyOf: oneOf })
    }
    if (parts.length === 1) return rest
    try {
      return [rest, ...parts.slice(1).map(part => this.flat(part, at, depth + 1))].reduce(mergeSchemas)
    } catch (error) {
      if (!(error instanceof MergeError)) throw error
      return this.refuse(at, error.keyword, 'cannot be combined with the same keyword of another schema')
    }
  }

  private types(schema: ObjectSchema): string[] {
    if (schema.type !== undefined) return [schema.type].flat() as string[]
    // Without a type every other type would be valid as well; a schema that speaks of one type means that one.
    const spoken = new Set(Object.keys(schema).flatMap(keyword => KEYWORDS_OF_TYPE[keyword] ?? []))
    return spoken.size > 0 ? [...spoken] : TYPES.filter(type => type !== 'integer')
  }

  private typed(type: string, schema: ObjectSchema, at: string): Node {
    switch (type) {
      case 'string':
        return this.string(schema, at)
      case 'number':
      case 'integer':
        return this.number(schema, type === 'integer', at)
      case 'boolean':
        return alt(text('true'), text('false'))
      case 'null':
        return text('null')
      case 'array':
        return this.array(schema, at)
      default:
        return this.object(schema, at)
    }
  }

  private values(schema: ObjectSchema, values: unknown[], at: string): Node {
    const { enum: _enum, const: _const, ...rest } = schema
    const fitting = constrains(rest) ? values.filter(value => allowsValue(rest, value)) : values
    if (fitting.length === 0) return this.refuse(at, 'enum', 'none of the values fits the rest of the schema')
    return alt(...fitting.map(json.literal))
  }

  private string(schema: ObjectSchema, at: string): Node {
    const minLength = Number(schema.minLength ?? 0)
    const maxLength = schema.maxLength === undefined ? null : Number(schema.maxLength)
    const patterns = (schema.pattern === undefined ? [] : [schema.pattern].flat()) as string[]
    if (schema.format !== undefined) {
      const format = STRING_FORMATS.get(String(schema.format))
      if (format) patterns.push(format)
      else this.problem(at, 'format', `the format ${JSON.stringify(schema.format)} is not supported`)
    }
    const counted = { minLength, maxLength }
    if (minLength > MAX_COUNTED_CHARACTERS) {
      this.problem(at, 'minLength', `above ${MAX_COUNTED_CHARACTERS} is not supported`)
      counted.minLength = 0
    }
    if (maxLength !== null && maxLength > MAX_COUNTED_CHARACTERS) {
      this.problem(at, 'maxLength', `above ${MAX_COUNTED_CHARACTERS} is not supported`)
      counted.maxLength = null
    }
    // Equal limits, in whatever schema, share their rules.
    const name = `string ${JSON.stringify([counted, patterns])}`
    if (this.rules.has(name)) return ref(name)
    const content = this.automaton(at, 'pattern', null, () => contentDfa({ ...counted, patterns }))
    if (!content) return json.STRING
    for (const [rule, node] of stringRules(name, content)) this.rules.set(rule, node)
    return ref(name)
  }

  private number(schema: ObjectSchema, integer: boolean, at: string): Node {
    const limit = (keyword: string) =>
      typeof schema[keyword] === 'number' ? (schema[keyword] as number) : null
    const limits = {
      integer,
      minimum: limit('minimum'),
      exclusiveMinimum: limit('exclusiveMinimum'),
      maximum: limit('maximum'),
      exclusiveMaximum: limit('exclusiveMaximum'),
      multipleOf: limit('multipleOf')
    }
    const plain = integer ? ANY_INTEGER : ANY_NUMBER
    if (Object.values(limits).every(value => value === null || typeof value === 'boolean')) {
      return integer ? this.shared('integer', plain) : json.NUMBER
    }
    const dfas = this.automaton(at, limits.multipleOf === null ? 'minimum' : 'multipleOf', null, () =>
      numberDfas(limits)
    )
    if (!dfas) return plain
    const sign = (dfa: Dfa | null, prefix: string) => (dfa ? [seq(text(prefix), this.addAutomaton(dfa))] : [])
    return alt(...sign(dfas.positive, ''), ...sign(dfas.negative, '-'))
  }

  private addAutomaton(dfa: Dfa): Node {
    const name = this.rule(null)
    for (const [rule, node] of automatonRules(name, dfa, text(''))) this.rules.set(rule, node)
    return ref(name)
  }

  private array(schema: ObjectSchema, at: string): Node {
    // Before 2020-12 a tuple was an array under `items`, and its rest `additionalItems`.
    const tuple = Array.isArray(schema.items)
    const prefix = ((tuple ? schema.items : schema.prefixItems) ?? []) as Schema[]
    const rest = ((tuple ? schema.additionalItems : schema.items) ??
      (schema.unevaluatedItems as Schema) ??
      prefix.length === 0) as Schema
    const min = Number(schema.minItems ?? 0)
    let max = schema.maxItems === undefined ? null : Number(schema.maxItems)
    if (min > MAX_ITEMS) this.refuse(at, 'minItems', `above ${MAX_ITEMS} is not supported`)
    if (max !== null && max > MAX_ITEMS)
      max = this.problem(at, 'maxItems', `above ${MAX_ITEMS} is not supported`) ?? null
    if (max !== null && max < min) return NEVER
    const fixed = prefix
      .slice(0, max ?? prefix.length)
      .map((item, i) => this.schema(item, `${at}/prefixItems/${i}`))
    const item = this.schema(rest, `${at}/items`)
    const more = (first: boolean, low: number, high: number | null): Node => {
      if (high === 0 || item === NEVER) return low > 0 ? NEVER : text('')
      if (!first) return repeat(seq(json.COMMA, item), low, high)
      const list = seq(
        item,
        repeat(seq(json.COMMA, item), Math.max(low - 1, 0), high === null ? null : high - 1)
      )
      return low > 0 ? list : optional(list)
    }
    let items = more(
      prefix.length === 0,
      Math.max(min - fixed.length, 0),
      max === null ? null : max - fixed.length
    )
    for (let i = fixed.length - 1; i >= 0; i--) {
      const here = seq(i > 0 ? json.COMMA : text(''), fixed[i]!, items)
      items = i < min ? here : optional(here)
    }
    return json.brackets(items)
  }

  private object(schema: ObjectSchema, at: string): Node {
    const properties = (schema.properties ?? {}) as Record<string, Schema>
    const required = new Set((schema.required ?? []) as string[])
    const patterns = Object.entries((schema.patternProperties ?? {}) as Record<string, Schema>)
    const open = schema.properties === undefined && patterns.length === 0
    const others = (schema.additionalProperties ?? schema.unevaluatedProperties ?? open) as Schema
    const names = [...new Set([...Object.keys(properties), ...required])]
    const dfas = patterns.map(([pattern]) =>
      this.automaton(at, 'patternProperties', null, () => patternDfa(pattern))
    )
    const members = names.flatMap(name => {
      const own = Object.hasOwn(properties, name) ? [properties[name]!] : []
      const matching = patterns.filter((_, i) => dfas[i] && accepts(dfas[i], name)).map(([, value]) => value)
      const parts = [...own, ...matching]
      const path = `${at}/properties/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
      const value =
        parts.length === 0
          ? others
          : parts.length === 1
            ? parts[0]!
            : this.merge(parts, path, 'patternProperties')
      const node = this.schema(value, path)
      const allowed = schema.propertyNames === undefined || allowsValue(schema.propertyNames as Schema, name)
      if (allowed && node !== NEVER) {
        return [{ node: seq(text(JSON.stringify(name)), json.COLON, node), required: required.has(name) }]
      }
      return required.has(name) ? [{ node: NEVER, required: true }] : []
    })
    const extra = this.extraMember(schema, names, patterns, dfas, others, at)
    return json.braces(this.memberChain(members, extra))
  }

  /** Members in order, each at most once, then any number of others; commas between what is there. */
  private memberChain(members: Array<{ node: Node; required: boolean }>, extra: Node | null): Node {
    // `after` continues behind a member, `first` where none has been written yet.
    let after: Node = extra ? repeat(seq(json.COMMA, extra), 0, null) : text('')
    let first: Node = extra ? optional(seq(extra, after)) : text('')
    if (members.length === 0) return first
    for (const member of members.toReversed()) {
      const next = after.kind === 'ref' ? after : this.ruleRef(after)
      const here = seq(member.node, next)
      const behind = seq(json.COMMA, member.node, next)
      after = member.required ? behind : this.ruleRef(alt(behind, next))
      first = member.required ? here : this.ruleRef(alt(here, first))
    }
    return first
  }

  private extraMember(
    schema: ObjectSchema,
    names: string[],
    patterns: Array<[string, Schema]>,
    dfas: Array<Dfa | null>,
    others: Schema,
    at: string
  ): Node | null {
    if (dfas.includes(null)) return null
    const keys = patterns.map((_, i) => dfas[i]!)
    const limit = this.keyLimit(schema.propertyNames as Schema | undefined, at)
    const choices: Node[] = []
    const add = (value: Schema, path: string, parts: Dfa[]) => {
      const node = this.schema(value, path)
      if (node === NEVER) return
      const all = limit ? [...parts, limit] : parts
      const listed = names.length > 0 ? [...all, inverse(ofTexts(names))] : all
      const content = this.automaton(at, 'properties', null, () =>
        listed.length > 0 ? listed.reduce(intersection) : null
      )
      let key: Node = json.STRING
      if (content) {
        const name = this.rule(null)
        for (const [rule, body] of stringRules(name, content)) this.rules.set(rule, body)
        key = ref(name)
      }
      choices.push(seq(key, json.COLON, node))
    }
    for (const [i, [pattern, value]] of patterns.entries()) {
      const apart = keys.filter((_, other) => other !== i).map(inverse)
      add(value, `${at}/patternProperties/${pattern}`, [keys[i]!, ...apart])
    }
    if (others !== false) add(others, `${at}/additionalProperties`, keys.map(inverse))
    return choices.length === 0 ? null : alt(...choices)
  }

  private keyLimit(names: Schema | undefined, at: string): Dfa | null {
    if (names === undefined || names === true) return null
    const flat = this.flat(names, at)
    if (flat === false) return { accepts: [false], edges: [[]] }
    if (flat === true) return null
    const { pattern, minLength, maxLength, enum: listed, const: one, type: _type, ...rest } = flat
    if (constrains(rest))
      this.problem(
        at,
        'propertyNames',
        'only pattern, minLength, maxLength, enum and const are supported in it'
      )
    const values = one !== undefined ? [one] : (listed as unknown[] | undefined)
    return this.automaton(at, 'propertyNames', null, () => {
      const content = contentDfa({
        minLength: Number(minLength ?? 0),
        maxLength: maxLength === undefined ? null : Number(maxLength),
        patterns: (pattern === undefined ? [] : [pattern].flat()) as string[]
      })
      if (!values) return content
      const texts = ofTexts(values.filter(value => typeof value === 'string'))
      return content ? intersection(content, texts) : texts
    })
  }

  private checkKeywords(schema: ObjectSchema, at: string): void {
    for (const [keyword, value] of Object.entries(schema)) {
      if (ANNOTATIONS.has(keyword) || COMPOSED.has(keyword) || keyword in KEYWORDS_OF_TYPE) continue
      if (keyword.startsWith('x-') || isImplied(keyword, value, schema)) continue
      this.problem(
        at,
        keyword,
        UNENFORCEABLE.has(keyword) ? 'is not supported' : 'is not known',
        UNENFORCEABLE.has(keyword)
      )
    }
  }

  private automaton<T>(at: string, keyword: string, instead: T, build: () => T): T {
    try {
      return build()
    } catch (error) {
      if (error instanceof TooManyStatesError) this.problem(at, keyword, 'is too complex')
      else if (error instanceof PatternError || error instanceof NumberLimitError)
        this.problem(at, keyword, error.message)
      else throw error
      return instead
    }
  }

  /** Strict: refused. Otherwise left to the validation of the finished text. */
  private problem(at: string, keyword: string, message: string, matters = true): void {
    const { strict, ignoreUnknown } = this.options
    if (strict && (matters || !ignoreUnknown)) this.refuse(at, keyword, message)
    if (matters) this.unenforced.push(`${at}/${keyword}`)
  }

  private refuse(at: string, keyword: string, message: string): never {
    throw new ConstraintError(`${this.options.param}${at}/${keyword}`, `${keyword}: ${message}`)
  }

  private rule(node: Node | null): string {
    const name = `${this.options.prefix}${this.count++}`
    this.rules.set(name, node ?? NEVER)
    return name
  }

  private ruleRef(node: Node): Node {
    return ref(this.rule(node))
  }

  private shared(name: string, node: Node): Node {
    if (!this.rules.has(name)) this.rules.set(name, node)
    return ref(name)
  }
}
