import fc from 'fast-check'
import t from 'tap'
import { type BreakerState, CircuitBreaker } from '../../src/models/breaker.js'

function breaker(failures = 5, openMs = 60_000) {
  const clock = { now: 0 }
  const changes: BreakerState[] = []
  const it = new CircuitBreaker(
    { failures, openMs },
    () => clock.now,
    (_from, to) => changes.push(to)
  )
  return { it, clock, changes }
}

t.test('five failures in a row open it, four do not', async t => {
  const { it, changes } = breaker()
  for (let i = 0; i < 4; i++) {
    t.ok(it.attempt())
    it.failure()
  }
  t.equal(it.state, 'closed')
  it.success()
  for (let i = 0; i < 4; i++) it.failure()
  t.equal(it.state, 'closed', 'a success in between starts the count again')
  it.failure()
  t.equal(it.state, 'open')
  t.equal(it.retryAfterMs, 60_000)
  t.notOk(it.attempt())
  t.same(changes, ['open'])
})

t.test('after its time one probe is let through, and decides', async t => {
  const { it, clock, changes } = breaker(1, 1000)
  it.failure()
  clock.now = 999
  t.notOk(it.attempt())
  t.equal(it.retryAfterMs, 1)
  clock.now = 1000
  t.ok(it.attempt())
  t.equal(it.state, 'half_open')
  t.notOk(it.attempt(), 'one probe at a time')
  it.failure()
  t.equal(it.retryAfterMs, 1000)
  clock.now = 2000
  t.ok(it.attempt())
  it.success()
  t.ok(it.attempt())
  t.same(changes, ['open', 'half_open', 'open', 'half_open', 'closed'])
})

t.test('a probe that is called off gives its turn away', async t => {
  const { it, clock } = breaker(1, 1000)
  it.abandon()
  t.equal(it.state, 'closed')
  it.failure()
  clock.now = 1000
  t.ok(it.attempt())
  it.abandon()
  t.equal(it.state, 'open')
  t.equal(it.retryAfterMs, 0)
  t.ok(it.attempt())
})

t.test('what an older attempt says while it is open changes nothing', async t => {
  const { it, clock } = breaker(1, 1000)
  it.failure()
  clock.now = 500
  it.failure()
  it.success()
  t.equal(it.state, 'open')
  t.equal(it.retryAfterMs, 500)
})

t.test(
  'any sequence: open exactly for its time, never two probes, opens on the n-th failure in a row',
  async t => {
    type Step = 'attempt' | 'success' | 'failure' | 'abandon' | number
    const steps = fc.array(
      fc.oneof(
        fc.constantFrom<Step[]>('attempt', 'success', 'failure', 'abandon'),
        fc.integer({ min: 0, max: 150 })
      ),
      { maxLength: 200 }
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), steps, (limit, all) => {
        const { it, clock } = breaker(limit, 100)
        let inARow = 0
        let openedAt: number | null = null
        let probing = false
        for (const step of all) {
          if (typeof step === 'number') clock.now += step
          else if (step === 'attempt') {
            const over = openedAt !== null && clock.now - openedAt >= 100
            const expected = openedAt === null || (over && !probing)
            if (it.attempt() !== expected) return false
            if (expected && openedAt !== null) probing = true
          } else if (openedAt !== null && !probing) {
            it[step]()
          } else {
            it[step]()
            if (step === 'success') {
              inARow = 0
              openedAt = null
              probing = false
            } else if (step === 'failure') {
              inARow++
              if (probing || inARow >= limit) openedAt = clock.now
              probing = false
            } else probing = false
          }
          const wait = openedAt === null || probing ? 0 : Math.max(0, openedAt + 100 - clock.now)
          if (it.retryAfterMs !== wait) return false
          if (it.state !== (openedAt === null ? 'closed' : probing ? 'half_open' : 'open')) return false
        }
        return true
      }),
      { numRuns: 500 }
    )
    t.pass()
  }
)
