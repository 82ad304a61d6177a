/** Random JSON schemas that some document satisfies: nested, enums, arrays, patterns, references, unions. */
import type { Random } from './walk.js'

type Json = Record<string, unknown>

const PATTERNS = [
  '^[a-z]{2,8}$',
  '^(red|green|blue)-\\d{2,3}$',
  '\\d',
  '^[A-Z][a-z]+( [A-Z][a-z]+)?$',
  'a.c|x$',
  '^[^"\\\\]{1,6}$',
  '^\\+?[0-9 ]{3,10}$',
  '^[\\u00e0-\\u00ff\\u4e00-\\u4eff]{1,3}$'
]
const FORMATS = ['date', 'date-time', 'time', 'email', 'uuid', 'ipv4', 'ipv6', 'hostname', 'duration']
const WORDS = ['a', 'name', 'Größe', 'with space', 'q"uote', 'x/y', '日本', 'b_2', '~tilde', 'new\nline']

export function randomSchema(random: Random, strict: boolean): Json {
  const generator = new Generator(random, strict)
  return generator.root()
}

class Generator {
  private readonly definitions: Json = {}

  constructor(
    private readonly random: Random,
    private readonly strict: boolean
  ) {}

  root(): Json {
    const schema = this.object(0)
    return Object.keys(this.definitions).length > 0 ? { ...schema, $defs: this.definitions } : schema
  }

  private below(count: number): number {
    return Math.floor(this.random() * count)
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }

  private any(depth: number): Json {
    const simple = [
      () => this.string(),
      () => this.number('integer'),
      () => this.number('number'),
      () => ({ type: 'boolean' }),
      () => ({ type: 'null' }),
      () => this.values(),
      () => ({ const: this.pick<unknown>(['fixed', 7, null, true, { a: [1, 'x'] }]) })
    ]
    const nested = [
      () => this.object(depth + 1),
      () => this.array(depth + 1),
      () => ({ anyOf: [this.any(depth + 1), this.any(depth + 1)] }),
      () => ({ type: [this.pick(['string', 'integer']), 'null'], description: 'either' }),
      () => this.tagged(depth + 1),
      () => this.reference(depth + 1),
      () => this.recursive()
    ]
    return this.pick(depth < 3 ? [...simple, ...nested] : simple)()
  }

  private string(): Json {
    switch (this.below(5)) {
      case 0:
        return { type: 'string', pattern: this.pick(PATTERNS) }
      case 1:
        return { type: 'string', format: this.pick(FORMATS) }
      case 2: {
        const minLength = this.below(4)
        return { type: 'string', minLength, maxLength: minLength + this.below(8) }
      }
      default:
        return { type: 'string', description: 'any text' }
    }
  }

  private number(type: 'integer' | 'number'): Json {
    const step = type === 'integer' ? 1 : 0.25
    const low = (this.below(400) - 200) * step
    switch (this.below(5)) {
      case 0:
        return { type, minimum: low, maximum: low + this.below(50) }
      case 1:
        return { type, exclusiveMinimum: low }
      case 2:
        return { type, exclusiveMaximum: low + 1, minimum: low - 3 }
      case 3:
        return { type, multipleOf: type === 'integer' ? this.pick([2, 5, 7, 12]) : this.pick([0.5, 0.01, 2]) }
      default:
        return { type }
    }
  }

  private values(): Json {
    const values = [
      this.pick(WORDS),
      this.below(100),
      this.pick<unknown>([null, false, 1.5, [1], { k: 'v' }])
    ]
    return { enum: values.slice(0, 1 + this.below(3)) }
  }

  private array(depth: number): Json {
    if (this.below(5) === 0) {
      return {
        type: 'array',
        prefixItems: [this.any(depth), this.any(depth)],
        items: false,
        minItems: this.below(3)
      }
    }
    const minItems = this.below(3)
    const schema: Json = { type: 'array', items: this.any(depth) }
    if (this.below(2) === 0) Object.assign(schema, { minItems, maxItems: minItems + this.below(4) })
    return schema
  }

  private object(depth: number): Json {
    const names = WORDS.filter(() => this.random() < 0.35)
    const properties = Object.fromEntries(names.map(name => [name, this.any(depth)]))
    const required = this.strict ? names : names.filter(() => this.random() < 0.5)
    const schema: Json = { type: 'object', properties, required }
    if (this.strict) schema.additionalProperties = false
    else {
      const more = this.below(5)
      if (more === 0) schema.additionalProperties = this.any(depth + 1)
      if (more === 1) schema.patternProperties = { '^x_': { type: 'integer' } }
    }
    if (!this.strict && schema.additionalProperties === undefined && this.below(6) === 0) {
      return {
        allOf: [schema, { type: 'object', properties: { extra: { type: 'boolean' } }, required: ['extra'] }]
      }
    }
    return schema
  }

  private tagged(depth: number): Json {
    const branch = (kind: string) => ({
      type: 'object',
      properties: { kind: { const: kind }, value: this.any(depth) },
      required: ['kind', 'value'],
      additionalProperties: false
    })
    return { [this.pick(['anyOf', 'oneOf'])]: [branch('one'), branch('two')] }
  }

  private reference(depth: number): Json {
    const name = `d${Object.keys(this.definitions).length}`
    this.definitions[name] = { type: 'string' }
    this.definitions[name] = this.any(depth)
    return { $ref: `#/$defs/${name}` }
  }

  private recursive(): Json {
    this.definitions.tree = {
      type: 'object',
      properties: { label: { type: 'string' }, children: { type: 'array', items: { $ref: '#/$defs/tree' } } },
      required: ['label', 'children'],
      additionalProperties: false
    }
    return { $ref: '#/$defs/tree' }
  }
}
