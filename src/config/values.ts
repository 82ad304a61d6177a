import type { TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { UsageError } from './errors.js'
import type { Setting } from './settings.js'

const words = new Map([
  ['true', true],
  ['on', true],
  ['yes', true],
  ['1', true],
  ['false', false],
  ['off', false],
  ['no', false],
  ['0', false]
])
const bytesPerUnit: Record<string, number> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }

/**
 * The value that a flag's or a variable's text stands for.
 * @param source how the person named the setting: `--port`, `OCTAVO_PORT`
 * @throws UsageError in one line that says what would be right
 */
export function readText(setting: Setting, text: string, source: string): unknown {
  const synonym = setting.synonyms?.[text]
  if (synonym !== undefined) return synonym
  if (setting.json) return checkValue(setting, fromJson(text), source, text)
  if (setting.whole) return checkValue(setting, text === '' ? undefined : [text], source, text)
  const value = isList(setting.schema) ? splitList(text) : candidates(setting, text).find(fits(setting))
  return checkValue(setting, value, source, text)
}

/** A value from the config file: JSON of the right type, or text as in a flag. */
export function readJson(setting: Setting, value: unknown, source: string): unknown {
  return typeof value === 'string'
    ? readText(setting, value, source)
    : checkValue(setting, value, source, JSON.stringify(value))
}

function checkValue(setting: Setting, value: unknown, source: string, shown: string): unknown {
  if (value !== undefined && fits(setting)(value)) return value
  throw new UsageError(`${source}: "${shown}" is not ${setting.json ?? describe(setting.schema)}`)
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function fits(setting: Setting): (value: unknown) => boolean {
  return value => Value.Check(setting.schema, value)
}

/** What a text may mean, most special first; the schema picks. */
function candidates(setting: Setting, text: string): unknown[] {
  const found: unknown[] = []
  const number = setting.bytes ? /^(\d+)([kmg]?)b?$/i.exec(text) : /^(-?\d+(?:\.\d+)?)$/.exec(text)
  if (number) found.push(Number(number[1]) * (bytesPerUnit[number[2]?.toLowerCase() ?? ''] ?? 1))
  const word = words.get(text.toLowerCase())
  if (word !== undefined) found.push(word)
  found.push(text)
  return found
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
}

export function isList(schema: TSchema): boolean {
  return shape(schema).type === 'array'
}

export function isSwitch(schema: TSchema): boolean {
  return shape(schema).type === 'boolean'
}

export function isChoice(schema: TSchema): boolean {
  return shape(schema).enum !== undefined
}

/** A schema in words that can follow "is not". */
export function describe(schema: TSchema): string {
  const { type, const: literal, enum: choices, anyOf, minimum, maximum } = shape(schema)
  if (choices) return `one of ${choices.join(', ')}`
  if (anyOf) return anyOf.map(describe).join(' or ')
  if (literal !== undefined) return String(literal)
  if (type === 'integer' || type === 'number') {
    const noun = type === 'integer' ? 'a whole number' : 'a number'
    if (minimum === undefined) return noun
    return maximum === undefined ? `${noun} of at least ${minimum}` : `${noun} from ${minimum} to ${maximum}`
  }
  if (type === 'boolean') return 'true or false'
  if (type === 'array') return 'a list of names'
  return 'a text'
}

interface Shape {
  type?: string
  const?: unknown
  enum?: unknown[]
  anyOf?: TSchema[]
  minimum?: number
  maximum?: number
}

/** The parts of JSON Schema that settings use. */
function shape(schema: TSchema): Shape {
  return schema as Shape
}
