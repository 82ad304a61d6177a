import fc from 'fast-check'
import t from 'tap'
import { Backoff } from '../../src/models/backoff.js'

t.test(
  'the first restart is at once, then half a second, then twice as long each time, up to the cap',
  async t => {
    const backoff = new Backoff()
    const pauses = Array.from({ length: 10 }, () => backoff.next())
    t.same(pauses, [0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
  }
)

t.test('after a reset it begins anew', async t => {
  const backoff = new Backoff({ baseMs: 10, capMs: 20 })
  t.same([backoff.next(), backoff.next(), backoff.next(), backoff.next()], [0, 10, 20, 20])
  backoff.reset()
  t.same([backoff.next(), backoff.next()], [0, 10])
})

t.test(
  'whatever the options: 0 first, never shorter than the one before, never above the cap, always a number',
  async t => {
    fc.assert(
      fc.property(
        fc.record({
          baseMs: fc.integer({ min: 1, max: 10_000 }),
          factor: fc.double({ min: 1, max: 10, noNaN: true }),
          capMs: fc.integer({ min: 1, max: 100_000 })
        }),
        fc.integer({ min: 2, max: 2000 }),
        (options, count) => {
          const backoff = new Backoff(options)
          let last = backoff.next()
          if (last !== 0) return false
          for (let i = 1; i < count; i++) {
            const pause = backoff.next()
            if (!(pause >= last && pause <= options.capMs)) return false
            last = pause
          }
          return true
        }
      )
    )
    t.pass()
  }
)
