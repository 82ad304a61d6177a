import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { TokenLogprob } from '../../../src/engine/messages.js'
import { Answer } from '../../../src/engine/text/answer.js'
import { StopMatcher } from '../../../src/engine/text/stop-matcher.js'
import { Utf8Assembler } from '../../../src/engine/text/utf8.js'

/** Cuts bytes at the given places (any numbers). */
function cut(bytes: Uint8Array, places: number[]): Uint8Array[] {
  const at = [...new Set(places.map(place => place % (bytes.length + 1)))].sort((a, b) => a - b)
  const borders = [0, ...at, bytes.length]
  return borders.slice(1).map((end, i) => bytes.subarray(borders[i], end))
}

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom('día 日本 😀👩‍👩‍👧', '\uFEFFx', 'ends in \u{1F600}')
)
const places = fc.array(fc.nat(1000), { maxLength: 20 })

t.test('UTF-8 comes out right however it is split', t => {
  fc.assert(
    fc.property(text, places, (text, places) => {
      const well = Buffer.from(text).toString()
      const assembler = new Utf8Assembler()
      const out = cut(Buffer.from(text), places).map(part => assembler.push(part))
      assert.equal(out.join('') + assembler.end(), well)
    })
  )
  t.pass('any text, any split')
  t.end()
})

t.test('bytes that can never be a character become U+FFFD, and nothing else is lost', t => {
  const assembler = new Utf8Assembler()
  const out = [
    Uint8Array.of(0x61, 0xe2, 0x82),
    Uint8Array.of(0x62),
    Uint8Array.of(0xff),
    Uint8Array.of(0xf0, 0x9f)
  ]
  t.equal(out.map(part => assembler.push(part)).join('') + assembler.end(), 'a\uFFFDb\uFFFD\uFFFD')
  t.end()
})

t.test('a stop text is found however it is split, and never given out', t => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 0, maxLength: 30 })
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 4
  })
  fc.assert(
    fc.property(letters, stops, places, (whole, stops, places) => {
      const first = Math.min(
        ...stops.map(stop => (whole.includes(stop) ? whole.indexOf(stop) : Number.POSITIVE_INFINITY))
      )
      const matcher = new StopMatcher(stops)
      let given = ''
      let found: string | null = null
      for (const part of cut(Buffer.from(whole), places)) {
        const { text, stop } = matcher.push(Buffer.from(part).toString())
        given += text
        for (const stop of stops) assert.ok(!given.includes(stop))
        if (stop !== null) {
          found = stop
          break
        }
      }
      if (found === null) {
        given += matcher.end()
        assert.equal(given, whole)
        assert.equal(first, Number.POSITIVE_INFINITY)
      } else {
        // With several stops a shorter one may be complete before an earlier, longer one is.
        assert.ok(whole.startsWith(given + found))
        if (stops.length === 1) assert.equal(given.length, first)
      }
    })
  )
  t.pass('any text, any stops, any split')
  t.end()
})

const logprob = (token: number): TokenLogprob => ({ token, bytes: [], logprob: -1, top: [] })

t.test('tokens go out with the text they complete', t => {
  const answer = new Answer([])
  const bytes = Buffer.from('é!')
  t.same(answer.push(bytes.subarray(0, 1), logprob(1)), {
    text: '',
    tokens: 0,
    logprobs: undefined,
    stop: null
  })
  t.same(answer.push(bytes.subarray(1, 2), logprob(2)), {
    text: 'é',
    tokens: 2,
    logprobs: [logprob(1), logprob(2)],
    stop: null
  })
  t.match(answer.push(bytes.subarray(2)), { text: '!', tokens: 1 })
  t.match(answer.end(), { text: '', tokens: 0 })
  t.end()
})

t.test('what may begin a stop is held back, and comes out when it did not', t => {
  const answer = new Answer(['STOP'])
  t.match(answer.push(Buffer.from('a ST')), { text: 'a ', tokens: 0, stop: null })
  t.match(answer.push(Buffer.from('OR')), { text: 'STOR', tokens: 2, stop: null })
  t.match(answer.push(Buffer.from('ST')), { text: '', tokens: 0 })
  t.match(answer.end(), { text: 'ST', tokens: 1, stop: null })
  t.end()
})

t.test('a token that a stop cuts counts with what went out of it', t => {
  const answer = new Answer(['\n\n'])
  t.match(answer.push(Buffer.from('one'), logprob(1)), { text: 'one', tokens: 1 })
  t.match(answer.push(Buffer.from(' two\n\nthree'), logprob(2)), { text: ' two', tokens: 1, stop: '\n\n' })
  t.end()
})
