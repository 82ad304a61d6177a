import fc from 'fast-check'
import t from 'tap'
import { partialJson } from '../../src/protocol/answer/partial-json.js'

t.test('closes what is open, leaves out what is not known', async t => {
  t.same(partialJson('{"city": "Par'), { city: 'Par' })
  t.same(partialJson('{"a": 1, "b": tr'), { a: 1 })
  t.same(partialJson('{"a": [1, {"b": "c\\u00'), { a: [1, { b: 'c' }] })
  t.same(partialJson('{"a": "x", "ke'), { a: 'x' })
  t.same(partialJson('{"a": "x", "key":'), { a: 'x' })
  t.same(partialJson('{'), {})
  t.equal(partialJson(''), undefined)
  t.equal(partialJson('no JSON'), undefined)
})

t.test('every beginning of an object gives a part of it', async () => {
  const contains = (whole: unknown, part: unknown): boolean => {
    if (typeof whole === 'string')
      return typeof part === 'string' && whole.startsWith(part.replace(/\ud83d$/, ''))
    if (typeof whole !== 'object' || whole === null) return typeof whole === typeof part || part === null
    return Object.entries(part as object).every(
      ([key, value]) => Object.hasOwn(whole, key) && contains((whole as Record<string, unknown>)[key], value)
    )
  }
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (value, at) => {
        const text = JSON.stringify(value)
        const cut = text.slice(0, 1 + Math.floor(at * (text.length - 1)))
        return contains(JSON.parse(text), partialJson(cut))
      }
    )
  )
})

t.test('a long text takes time in proportion to its length', async t => {
  const begun = performance.now()
  for (const part of ['[', '{"a":', '{"a":[', '1,']) partialJson(part.repeat(300_000))
  t.ok(performance.now() - begun < 5000)
})
