import fc from 'fast-check'
import t from 'tap'
import {
  accepts,
  compileDfa,
  type Dfa,
  intersection,
  inverse,
  ofLength,
  ofTexts,
  TooManyStatesError
} from '../../../src/engine/constraint/automaton.js'
import { ALL, charSet, complement, intersect, union } from '../../../src/engine/constraint/charset.js'
import { chars, repeat, seq } from '../../../src/engine/constraint/grammar.js'
import { numberDfas } from '../../../src/engine/constraint/numbers.js'
import { type PatternError, patternDfa } from '../../../src/engine/constraint/regex.js'
import { STRING_FORMATS } from '../../../src/engine/constraint/string-formats.js'
import { utf8Sequences } from '../../../src/engine/constraint/utf8.js'
import { validateFinished } from '../../../src/engine/constraint/validate.js'
import { type Random, randomFrom } from './walk.js'

const codePoint = fc.integer({ min: 0, max: 0x10ffff }).filter(code => code < 0xd800 || code > 0xdfff)
const ranges = fc.array(fc.tuple(codePoint, codePoint), { maxLength: 4 }).map(charSet)
const has = (set: ReturnType<typeof charSet>, code: number) => set.some(([a, b]) => code >= a && code <= b)

t.test('character sets', async () => {
  fc.assert(
    fc.property(ranges, ranges, codePoint, (a, b, code) => {
      const inA = has(a, code)
      const inB = has(b, code)
      return (
        has(complement(a), code) === !inA &&
        has(union(a, b), code) === (inA || inB) &&
        has(intersect(a, b), code) === (inA && inB)
      )
    })
  )
})

t.test('UTF-8 byte ranges hold exactly the encodings of the set', async () => {
  fc.assert(
    fc.property(
      ranges.map(set => intersect(set, ALL)),
      codePoint,
      (set, code) => {
        const bytes = Buffer.from(String.fromCodePoint(code))
        const matching = utf8Sequences(set).filter(
          sequence =>
            sequence.length === bytes.length &&
            sequence.every(([low, high], i) => bytes[i]! >= low && bytes[i]! <= high)
        )
        return matching.length === (has(set, code) ? 1 : 0)
      }
    ),
    { numRuns: 2000 }
  )
})

t.test('patterns find what regular expressions find', async t => {
  const patterns = [
    'abc',
    '^a*b+c?$',
    '^(a|bc)*$|^x{2,3}y{0}$',
    'a.c',
    '[^a-c]$',
    '^[a\\-c]+$',
    '\\d{2,}|\\w\\s\\S',
    '^$',
    '^\\u0061(?:b(?<n>c))?',
    '(^|,)a(,|$)',
    '[\\x41-\\x43]{2}',
    '\\/|\\.|\\{',
    'é|中+|😀',
    '^(?:a?){3}a{3}$'
  ]
  const alphabet = fc.constantFrom(
    'a',
    'b',
    'c',
    'x',
    'y',
    'A',
    'B',
    '1',
    '2',
    ' ',
    ',',
    '.',
    '/',
    '{',
    '-',
    'é',
    '中',
    '😀',
    '\n'
  )
  for (const pattern of patterns) {
    const dfa = patternDfa(pattern)
    const expression = new RegExp(pattern, 'u')
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 7 }), letters => {
        const text = letters.join('')
        return accepts(dfa, text) === expression.test(text)
      }),
      { numRuns: 500 }
    )
  }
  t.pass(`${patterns.length} patterns`)
})

t.test('patterns that are not regular are refused with the reason', async t => {
  const refused: Array<[string, RegExp]> = [
    ['(?=a)', /look-ahead/],
    ['(?<!a)b', /look-behind/],
    ['a\\b', /word boundary/],
    ['(a)\\1', /back-reference/],
    ['\\p{L}', /Unicode properties/],
    ['(', /./],
    ['a{2000}', /repeats/],
    ['('.repeat(100) + ')'.repeat(100), /nested/]
  ]
  for (const [pattern, message] of refused) {
    t.throws(() => patternDfa(pattern), { name: 'PatternError', message } as unknown as PatternError, pattern)
  }
  t.throws(() => patternDfa('(a|b)*a(a|b){20}'), TooManyStatesError)
})

t.test('intersection, inverse, length', async () => {
  const word = fc.array(fc.constantFrom('a', 'b', '😀'), { maxLength: 6 }).map(letters => letters.join(''))
  const a = patternDfa('^a')
  const long = ofLength(2, 4)
  const listed = ofTexts(['ab', 'b'])
  fc.assert(
    fc.property(word, text => {
      const length = [...text].length
      return (
        accepts(inverse(a), text) !== accepts(a, text) &&
        accepts(long, text) === (length >= 2 && length <= 4) &&
        accepts(intersection(a, long), text) === (text.startsWith('a') && length >= 2 && length <= 4) &&
        accepts(intersection(a, inverse(listed)), text) === (text.startsWith('a') && text !== 'ab')
      )
    })
  )
})

t.test('numbers: exactly those within the bounds', async t => {
  const limit = fc.option(
    fc.integer({ min: -4000, max: 4000 }).map(value => value / 8),
    { nil: null }
  )
  const none = {
    integer: false,
    minimum: null,
    exclusiveMinimum: null,
    maximum: null,
    exclusiveMaximum: null,
    multipleOf: null
  }
  fc.assert(
    fc.property(
      limit,
      limit,
      fc.boolean(),
      fc.boolean(),
      fc.array(fc.integer({ min: -5000, max: 5000 }), { minLength: 20, maxLength: 20 }),
      (low, high, exclusive, integer, values) => {
        const dfas = numberDfas({
          ...none,
          integer,
          ...(exclusive ? { exclusiveMinimum: low } : { minimum: low }),
          maximum: high
        })
        return values.every(raw => {
          const value = integer ? raw : raw / 8
          if (Object.is(value, -0)) return true
          const inside =
            (low === null || (exclusive ? value > low : value >= low)) && (high === null || value <= high)
          const dfa = value < 0 ? dfas.negative : dfas.positive
          return (dfa !== null && accepts(dfa, String(Math.abs(value)))) === inside
        })
      }
    ),
    { numRuns: 60 }
  )
  const grid = numberDfas({ ...none, multipleOf: 0.25, minimum: -1 })
  for (const text of ['0', '0.5', '12.25', '3.0']) t.ok(accepts(grid.positive!, text), text)
  for (const text of ['0.3', '0.125', '', '.', '00', '1.']) t.notOk(accepts(grid.positive!, text), text)
  t.ok(accepts(grid.negative!, '0.75'))
  t.notOk(accepts(grid.negative!, '0'), 'no minus zero')
  t.notOk(accepts(grid.negative!, '1.25'))
  t.equal(numberDfas({ ...none, minimum: 0 }).negative, null)
  t.throws(() => numberDfas({ ...none, multipleOf: 0.12345 }), /multipleOf/)
})

t.test('formats accept only what ajv-formats accepts', async t => {
  const samples: Record<string, string[]> = {
    date: ['2024-02-29', '2026-12-31', '2000-02-29'],
    time: ['23:59:59Z', '00:00:00.123+05:30'],
    'date-time': ['2026-01-02T03:04:05Z'],
    duration: ['P1Y2M3D', 'PT5M', 'P2W', 'P1DT2H'],
    email: ['a.b@example.org'],
    hostname: ['localhost', 'a-b.example.org'],
    ipv4: ['255.0.10.1'],
    ipv6: ['::1', '2001:db8:0:0:0:0:0:1', 'fe80::1:2'],
    uuid: ['123e4567-e89b-12d3-a456-426614174000'],
    uri: ['https://example.org/a/b?c=d']
  }
  for (const [format, pattern] of STRING_FORMATS) {
    const dfa = patternDfa(pattern)
    for (const text of samples[format]!) t.ok(accepts(dfa, text), `${format}: ${text}`)
    const random = randomFrom(1)
    const texts = Array.from({ length: 300 }, () => randomText(dfa, random))
    const checked = validateFinished({ items: { type: 'string', format } }, JSON.stringify(texts))
    t.ok(checked.ok, checked.ok ? format : `${format}: ${checked.message}`, {
      texts: checked.ok ? [] : texts
    })
  }
  t.notOk(accepts(patternDfa(STRING_FORMATS.get('date')!), '2023-02-29'))
})

t.test('a loop of many alternatives stays small', async t => {
  const digits = repeat(chars([[0x30, 0x39]]), 1, null)
  t.equal(compileDfa(seq(digits, digits)).edges.length, 3)
})

/** Some text that the automaton accepts. */
function randomText(dfa: Dfa, random: Random): string {
  let text = ''
  for (let state = 0; ; ) {
    const edges = dfa.edges[state]!
    if (dfa.accepts[state] && (edges.length === 0 || random() < 0.2)) return text
    const { on, to } = edges[Math.floor(random() * edges.length)]!
    const [low, high] = on[Math.floor(random() * on.length)]!
    text += String.fromCodePoint(low + Math.floor(random() * (high - low + 1)))
    state = to
  }
}
