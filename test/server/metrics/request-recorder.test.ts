import t from 'tap'
import { FixedHistogram } from '../../../src/engine/histogram.js'
import type { RequestEvent } from '../../../src/engine/messages.js'
import { ModelCounts } from '../../../src/server/metrics/model-counts.js'
import { RequestRecorder } from '../../../src/server/metrics/request-recorder.js'

const id = 1
const cached = { resident: 4, ram: 2, disk: 1 }
const usage = { promptTokens: 10, completionTokens: 6, cached }
const timings = { queueMs: 5, prefillMs: 20, firstTokenMs: 30, totalMs: 130 }
const verdict: RequestEvent = { type: 'verdict', id, verdict: { kind: 'admitted', promptTokens: 10 } }
const text = (choice: number): RequestEvent => ({ type: 'text', id, choice, text: 'x', tokens: 1 })

function fixture() {
  const clock = { now: 1000 }
  const counts = new ModelCounts(() => new FixedHistogram([0.01, 0.1, 1, 10]))
  const recorder = new RequestRecorder(counts, 900, () => clock.now)
  /** Gives an event after so many milliseconds. */
  const after = (ms: number, event: RequestEvent) => {
    clock.now += ms
    recorder.event(event)
  }
  return { counts, recorder, after }
}

t.test('a request from its arrival to its end', async t => {
  const { counts, after } = fixture()
  after(0, verdict)
  after(50, { type: 'started', id, cached: { ...cached, disk: 0 } })
  after(50, text(0))
  after(0, text(1))
  after(5, text(0))
  after(500, text(1))
  after(0, { type: 'finish', id, choice: 0, reason: 'stop', stop: null })
  after(0, { type: 'finish', id, choice: 1, reason: 'length', stop: null })
  after(0, { type: 'end', id, usage, timings })
  t.match(counts, { submitted: 1, promptTokens: 10, generatedTokens: 6, queriedTokens: 10, cancelled: 0 })
  t.same(counts.hits, cached, 'the last word is that of the usage')
  t.same(
    [...counts.finished],
    [
      ['stop', 1],
      ['length', 1]
    ]
  )
  t.same(counts.queued.snapshot().counts, [0, 1, 0, 0, 0])
  t.same(counts.firstToken.snapshot(), { bounds: [0.01, 0.1, 1, 10], counts: [0, 0, 1, 0, 0], sum: 0.2 })
  t.same(counts.gap.snapshot().counts, [1, 0, 1, 0, 0], 'gaps are those of one answer')
  t.same(counts.total.snapshot().sum, 0.705)
  t.same(counts.decode.snapshot().sum, 0.1)
  t.same(counts.promptLength.snapshot().sum, 10)
})

t.test('a request that is cancelled counts what was seen', async t => {
  const { counts, recorder, after } = fixture()
  after(0, verdict)
  after(1, { type: 'started', id, cached: { resident: 0, ram: 0, disk: 0, miss: 'new' } })
  after(1, text(0))
  recorder.cancelled()
  recorder.cancelled()
  t.match(counts, { promptTokens: 10, generatedTokens: 1, queriedTokens: 10, cancelled: 1, failed: 0 })
  t.same([...counts.misses], [['new', 1]])
})

t.test('before its start it has computed nothing', async t => {
  const { counts, recorder, after } = fixture()
  after(0, verdict)
  recorder.cancelled()
  t.match(counts, { submitted: 1, promptTokens: 0, queriedTokens: 0, cancelled: 1 })
})

t.test('refusals by reason; a cancel after one is none', async t => {
  const { counts, recorder, after } = fixture()
  after(0, { type: 'verdict', id, verdict: { kind: 'full', retryAfterMs: 1, reason: 'queued_tokens' } })
  recorder.cancelled()
  t.same([...counts.rejected], [['queued_tokens', 1]])
  t.equal(counts.cancelled, 0)
})

t.test('a cache that was not to be used is not asked', async t => {
  const { counts, after } = fixture()
  after(0, verdict)
  const disabled = { resident: 0, ram: 0, disk: 0, miss: 'disabled' as const }
  after(0, { type: 'started', id, cached: disabled })
  after(0, { type: 'failed', id, code: 'total_timeout', message: '', usage: { ...usage, cached: disabled } })
  t.match(counts, { queriedTokens: 0, failed: 1, generatedTokens: 6 })
  t.same([...counts.misses], [['disabled', 1]])
})
