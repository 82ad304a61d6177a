/**
 * Decimal numbers within bounds and on a grid (`minimum`, `maximum`, their exclusive forms, `multipleOf`), as an
 * automaton that compares digit by digit. At most 15 significant digits, so that a double holds what was written.
 */
import { type Dfa, explore, minimise } from './automaton.js'
import { alt, chars, type Node, optional, repeat, seq, text } from './grammar.js'

const DIGITS = 15
const DIGIT = chars([[0x30, 0x39]])
const WHOLE: Node = alt(text('0'), seq(chars([[0x31, 0x39]]), repeat(DIGIT, 0, DIGITS - 1)))

/** Any JSON integer of up to 15 digits; no exponent. */
export const ANY_INTEGER: Node = alt(
  WHOLE,
  seq(text('-'), chars([[0x31, 0x39]]), repeat(DIGIT, 0, DIGITS - 1))
)
/** Any JSON number of up to 15 + 15 digits, with an exponent of up to two. */
export const ANY_NUMBER: Node = seq(
  optional(text('-')),
  WHOLE,
  optional(seq(text('.'), repeat(DIGIT, 1, DIGITS))),
  optional(
    seq(
      chars([
        [0x45, 0x45],
        [0x65, 0x65]
      ]),
      optional(
        chars([
          [0x2b, 0x2b],
          [0x2d, 0x2d]
        ])
      ),
      repeat(DIGIT, 1, 2)
    )
  )
)

export interface NumberLimits {
  integer: boolean
  minimum: number | null
  exclusiveMinimum: number | null
  maximum: number | null
  exclusiveMaximum: number | null
  multipleOf: number | null
}

/** The limits are beyond what digits can be compared for; the message says which. */
export class NumberLimitError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'NumberLimitError'
  }
}

interface Bound {
  whole: string
  fraction: string
  exclusive: boolean
}

/** @throws NumberLimitError, TooManyStatesError */
export function numberDfas(limits: NumberLimits): { positive: Dfa | null; negative: Dfa | null } {
  const low = tightest(limits.minimum, limits.exclusiveMinimum, (a, b) => a > b)
  const high = tightest(limits.maximum, limits.exclusiveMaximum, (a, b) => a < b)
  const grid = limits.multipleOf === null ? null : decimal(limits.multipleOf)
  if (limits.multipleOf !== null && !(limits.multipleOf > 0))
    throw new NumberLimitError('multipleOf must be above 0')
  const above = low && low.value >= 0 ? bound(low) : null
  const below = high && bound(high)
  const zero = { whole: '0', fraction: '', exclusive: true }
  const none = (value: { value: number; exclusive: boolean } | null, sign: 1 | -1) =>
    value !== null && (value.value * sign < 0 || (value.value === 0 && value.exclusive))
  return {
    positive: none(high, 1) ? null : magnitude(above, below, grid, limits.integer),
    negative:
      low && low.value >= 0
        ? null
        : magnitude(high && high.value < 0 ? bound(high) : zero, low && bound(low), grid, limits.integer)
  }
}

function tightest(
  plain: number | null,
  exclusive: number | null,
  tighter: (a: number, b: number) => boolean
) {
  if (plain === null && exclusive === null) return null
  if (exclusive === null || (plain !== null && tighter(plain, exclusive)))
    return { value: plain!, exclusive: false }
  return { value: exclusive, exclusive: true }
}

/** The size of a number in plain digits: 1.5e-7 is 0 and 00000015. */
function decimal(value: number): { whole: string; fraction: string } {
  const [mantissa, exponent = '0'] = String(Math.abs(value)).split('e') as [string, string?]
  const [whole, fraction = ''] = mantissa.split('.') as [string, string?]
  const shift = Number(exponent)
  const digits = whole + fraction
  const point = whole.length + shift
  const padded = point <= 0 ? '0'.repeat(1 - point) + digits : digits.padEnd(point, '0')
  const at = Math.max(point, 1)
  return { whole: padded.slice(0, at).replace(/^0+(?=.)/, ''), fraction: padded.slice(at).replace(/0+$/, '') }
}

function bound({ value, exclusive }: { value: number; exclusive: boolean }): Bound {
  const parts = decimal(value)
  if (parts.fraction.length > DIGITS) throw new NumberLimitError(`${value} has more than ${DIGITS} decimals`)
  return { ...parts, exclusive }
}

type Order = '<' | '=' | '>'

interface State {
  /** Digits read before the point, up to DIGITS; -1: a single zero. */
  whole: number
  /** Digits read after the point; -1: no point yet. */
  fraction: number
  low: Order
  high: Order
  /** The digits so far, modulo the grid. */
  rest: number
}

function magnitude(
  low: Bound | null,
  high: Bound | null,
  grid: { whole: string; fraction: string } | null,
  integer: boolean
): Dfa {
  const scale = grid?.fraction.length ?? 0
  const modulus = grid ? Number(grid.whole + grid.fraction) : 1
  if (modulus > 1000) throw new NumberLimitError(`multipleOf with more than 3 significant digits`)
  if (low && low.whole.length > DIGITS) throw new NumberLimitError(`a bound of more than ${DIGITS} digits`)
  const decimals = integer ? 0 : grid ? Math.max(scale, 0) : DIGITS
  const digit = (
    order: Order,
    against: Bound | null,
    at: number,
    part: 'whole' | 'fraction',
    value: number
  ): Order => {
    if (!against || order !== '=') return order
    const other = Number(against[part][at] ?? '0')
    return value < other ? '<' : value > other ? '>' : '='
  }
  const ended = (order: Order, against: Bound | null, count: number): Order =>
    !against || count === against.whole.length ? order : count < against.whole.length ? '<' : '>'
  const settle = (state: State): State =>
    state.fraction >= 0
      ? state
      : {
          ...state,
          low: ended(state.low, low, Math.abs(state.whole)),
          high: ended(state.high, high, Math.abs(state.whole))
        }
  // With nothing more to come: '=' so far is '<' when the bound goes on with other digits than 0.
  const final = (order: Order, against: Bound, fraction: number): Order =>
    order === '=' && against.fraction.length > Math.max(fraction, 0) ? '<' : order
  const accepts = (raw: State): boolean => {
    if (raw.whole === 0 || raw.fraction === 0) return false
    const state = settle(raw)
    if (low) {
      const order = final(state.low, low, state.fraction)
      if (order === '<' || (order === '=' && low.exclusive)) return false
    }
    if (high) {
      const order = final(state.high, high, state.fraction)
      if (order === '>' || (order === '=' && high.exclusive)) return false
    }
    return (state.rest * 10 ** (scale - Math.max(state.fraction, 0))) % modulus === 0
  }
  const next = (state: State) => {
    const steps: Array<{ on: Array<[number, number]>; to: State }> = []
    const push = (value: number, to: State) => steps.push({ on: [[0x30 + value, 0x30 + value]], to })
    if (state.fraction < 0 && state.whole >= 0 && state.whole < DIGITS) {
      for (let value = 0; value < 10; value++) {
        push(value, {
          whole: value === 0 && state.whole === 0 ? -1 : state.whole + 1,
          fraction: -1,
          low: digit(state.low, low, state.whole, 'whole', value),
          high: digit(state.high, high, state.whole, 'whole', value),
          rest: (state.rest * 10 + value) % modulus
        })
      }
    }
    if (state.fraction < 0 && state.whole !== 0 && decimals > 0 && Math.abs(state.whole) < DIGITS) {
      steps.push({ on: [[0x2e, 0x2e]], to: { ...settle(state), fraction: 0 } })
    }
    if (state.fraction >= 0 && state.fraction < Math.min(decimals, DIGITS - Math.abs(state.whole))) {
      for (let value = 0; value < 10; value++) {
        push(value, {
          ...state,
          fraction: state.fraction + 1,
          low: digit(state.low, low, state.fraction, 'fraction', value),
          high: digit(state.high, high, state.fraction, 'fraction', value),
          rest: (state.rest * 10 + value) % modulus
        })
      }
    }
    return steps
  }
  const start: State = { whole: 0, fraction: -1, low: '=', high: '=', rest: 0 }
  const key = (state: State) => `${state.whole},${state.fraction},${state.low},${state.high},${state.rest}`
  return minimise(explore(start, key, accepts, next, 40_000))
}
