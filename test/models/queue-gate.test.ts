import fc from 'fast-check'
import t from 'tap'
import type { Verdict } from '../../src/engine/messages.js'
import { QueueGate } from '../../src/models/queue-gate.js'

const queue = { running: 2, waiting: 4, maxWaiting: 4, waitingTokens: 100, maxWaitingTokens: null }
const full: Verdict = { kind: 'full', retryAfterMs: 2000, reason: 'queue', queue }

t.test('the gate is closed from the engine’s word on until fewer wait than may', async t => {
  const gate = new QueueGate(() => 0)
  for (let i = 0; i < 9; i++) gate.submitted(1)
  t.equal(gate.closed, false, 'however many wait: only the engine knows how many start at once')
  gate.verdict(full)
  gate.left(4)
  t.equal(gate.closed, true)
  t.match(gate.refusal(2), {
    kind: 'full',
    reason: 'queue',
    queue: { running: 2, waiting: 5, maxWaiting: 4 }
  })
  gate.left(1)
  t.equal(gate.closed, true, 'as many as may')
  gate.left(1)
  t.equal(gate.closed, false)
  t.equal(gate.refusal(2), null)
  gate.submitted(1)
  t.equal(gate.closed, false, 'it stays open until the engine says otherwise')
})

t.test('other refusals do not close it', async t => {
  const gate = new QueueGate(() => 0)
  gate.submitted(9)
  gate.verdict({ ...full, reason: 'queued_tokens' })
  gate.verdict({ kind: 'draining', retryAfterMs: 1 })
  t.equal(gate.closed, false)
})

t.test('no queue at all: never closed while nobody waits', async t => {
  const gate = new QueueGate(() => 0)
  gate.verdict({ ...full, queue: { ...queue, maxWaiting: 0 } })
  t.equal(gate.closed, false)
})

t.test('those who are refused are told one after the other, behind whom the engine told last', async t => {
  let now = 0
  const gate = new QueueGate(() => now)
  for (let i = 0; i < 10; i++) {
    now += 100
    gate.finished(false)
  }
  gate.submitted(8)
  gate.verdict(full)
  const told = Array.from({ length: 5 }, () => gate.refusal(2)!.retryAfterMs)
  t.same(told, [2100, 2200, 2300, 2400, 2500])
})

t.test('it never keeps out whom the engine would have let in', async () => {
  // An engine of `slots` streams and `most` that may wait; its news take a while to arrive.
  const action = fc.constantFrom('submit', 'start', 'end', 'cancel', 'news')
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), fc.integer({ min: 0, max: 4 }), (actions, most) => {
      const gate = new QueueGate(() => 0)
      const waiting: number[] = []
      const running: number[] = []
      const news: Array<() => void> = []
      const tell = () => {
        for (const each of news.splice(0)) each()
      }
      let id = 0
      for (const each of actions) {
        if (each === 'submit') {
          id++
          if (gate.closed) {
            // Everything that is on its way has to have come: then the engine's count is the gate's.
            tell()
            if (gate.closed && waiting.length < most) return false
            continue
          }
          gate.submitted(1)
          if (waiting.length >= most && waiting.length > 0) {
            const state = { ...queue, maxWaiting: most }
            news.push(() => {
              gate.verdict({ ...full, queue: state })
              gate.left(1)
            })
          } else waiting.push(id)
        } else if (each === 'start' && waiting.length > 0) {
          running.push(waiting.shift() as number)
          news.push(() => gate.left(1))
        } else if (each === 'end' && running.length > 0) {
          running.shift()
          news.push(() => gate.finished(false))
        } else if (each === 'cancel' && waiting.length > 0) {
          waiting.pop()
          gate.left(1)
        } else if (each === 'news') tell()
      }
      return true
    }),
    { numRuns: 500 }
  )
})
