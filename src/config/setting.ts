/** What a setting is, and the kinds of values that several have. */
import Type, { type Static, type TSchema } from 'typebox'

export type Group = 'Model' | 'Memory and speed' | 'Prefix cache' | 'Admission' | 'HTTP' | 'Log'

export interface Setting<S extends TSchema = TSchema> {
  /** What a value may be. Flags and variables are text and are read as the first of number, boolean, text that fits. */
  schema: S
  default: Static<S>
  group: Group
  /** Stands for the value in the help; a switch (boolean) has none. */
  value?: string
  help: string
  /** Further flags beside `--` + the name. */
  flags?: string[]
  /** Other texts for a value, e.g. llama-server's -1 for automatic. */
  synonyms?: Record<string, Static<S>>
  /** A number of bytes: k, m and g may follow it. */
  bytes?: boolean
  /** A list whose texts may hold commas: only a repeated flag makes it longer. */
  whole?: boolean
  /** Text is read as JSON; says in words what it holds. */
  json?: string
  /** Where the file that gives the other settings is named; has no place in that file. */
  notInFile?: boolean
}

export function setting<S extends TSchema>(definition: Setting<S>): Setting<S> {
  return definition
}

export const auto = Type.Literal('auto')
export const count = Type.Integer({ minimum: 1 })
export const countOrNone = Type.Integer({ minimum: 0 })
export const countOrAuto = Type.Union([count, auto])
export const seconds = Type.Number({ minimum: 0, maximum: 86_400 })
export const texts = Type.Array(Type.String({ minLength: 1 }))
export const oneOf = <const T extends string[]>(...values: T) => Type.Enum<T>(values)
