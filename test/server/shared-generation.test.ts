import t from 'tap'
import type { RequestEvent } from '../../src/engine/messages.js'
import { SharedGeneration } from '../../src/server/idempotency/shared-generation.js'
import { IdempotencyStore } from '../../src/server/idempotency/store.js'

const turn = () => new Promise(resolve => setImmediate(resolve))
const text = (text: string): RequestEvent => ({ type: 'text', id: 1, choice: 0, text, tokens: 1 })
const verdict: RequestEvent = { type: 'verdict', id: 1, verdict: { kind: 'admitted', promptTokens: 1 } }
const end: RequestEvent = {
  type: 'end',
  id: 1,
  usage: { promptTokens: 1, completionTokens: 1, cached: { resident: 0, ram: 0, disk: 0 } },
  timings: { queueMs: 0, prefillMs: 0, firstTokenMs: 0, totalMs: 0 }
}

function fixture(mostBytes = 1e6) {
  const calls: string[] = []
  let emit: (event: RequestEvent) => void = () => {}
  const shared = new SharedGeneration({
    mostBytes,
    start: onEvent => {
      emit = onEvent
      const call = (name: string) => () => void calls.push(name)
      return { cancel: call('cancel'), pause: call('pause'), resume: call('resume') }
    }
  })
  const join = () => {
    const texts: string[] = []
    const generation = shared.join(event => texts.push(event.type === 'text' ? event.text : event.type))
    return { texts, generation }
  }
  return { shared, calls, join, emit: (event: RequestEvent) => emit(event) }
}

t.test('each listener gets everything, in order, at its own pace', async t => {
  const { calls, join, emit } = fixture()
  const one = join()
  await turn()
  emit(verdict)
  emit(text('a'))
  const two = join()
  t.same(two.texts, [], 'never before the caller has its generation')
  emit(text('b'))
  t.same(one.texts, ['verdict', 'a', 'b'])
  await turn()
  t.same(two.texts, one.texts)
  two.generation.pause()
  emit(text('c'))
  t.same(one.texts, ['verdict', 'a', 'b', 'c'])
  t.same(two.texts, ['verdict', 'a', 'b'], 'paused: it waits here')
  t.same(calls, [], 'and the computation goes on for the other')
  one.generation.pause()
  t.same(calls, ['pause'])
  two.generation.resume()
  t.same(calls, ['pause', 'resume'])
  t.same(two.texts, ['verdict', 'a', 'b', 'c'])
  one.generation.resume()
  emit(end)
  t.same(one.texts, two.texts)
  t.equal(one.texts.at(-1), 'end')
})

t.test('a slow listener that leaves does not hold up the other', async t => {
  const { calls, join } = fixture()
  const one = join()
  const two = join()
  one.generation.pause()
  two.generation.pause()
  t.same(calls, ['pause'])
  one.generation.cancel()
  two.generation.resume()
  t.same(calls, ['pause', 'resume'])
  two.generation.cancel()
  two.generation.cancel()
  t.same(calls, ['pause', 'resume', 'cancel'])
})

t.test('thousands of events to catch up with do not hold up the event loop', async t => {
  const { join, emit } = fixture()
  join()
  for (let i = 0; i < 1000; i++) emit(text(String(i)))
  const late = join()
  await turn()
  t.ok(late.texts.length < 1000, `${late.texts.length} in one turn`)
  emit(end)
  for (let i = 0; i < 10; i++) await turn()
  t.same(late.texts, [...Array.from({ length: 1000 }, (_, i) => String(i)), 'end'])
})

t.test('an answer that is too large is forgotten as it is read', async t => {
  const { shared, join, emit } = fixture(10_000)
  const one = join()
  await turn()
  for (let i = 0; i < 100; i++) emit(text('x'.repeat(100)))
  t.equal(shared.canBeJoined, false)
  one.generation.pause()
  emit(text('while paused'))
  emit(end)
  one.generation.resume()
  t.same(one.texts.slice(-2), ['while paused', 'end'])
  t.equal(one.texts.length, 102)
  t.equal(shared.isWhole, false)
})

t.test('a listener that throws is left out', async t => {
  const { shared, calls, join, emit } = fixture()
  const one = join()
  shared.join(() => {
    throw new Error('broken')
  })
  await turn()
  emit(text('a'))
  t.same(one.texts, ['a'])
  t.same(calls, [])
})

function whole(bytes: number): SharedGeneration {
  const { shared, emit } = fixture(1e9)
  shared.join(() => {})
  emit(text('x'.repeat(bytes / 2)))
  emit(end)
  return shared
}

t.test('the store keeps what ended, bounded in time, bytes and keys', async t => {
  const store = new IdempotencyStore({ keepMs: 50, mostBytes: 10_000, mostKeys: 3 })
  t.teardown(() => store.clear())
  const use = (key: string, bytes: number) => {
    const entry = store.enter(key, 'f')!
    entry.generations[0] = whole(bytes)
    store.leave(entry)
  }
  use('a', 4000)
  use('b', 4000)
  t.equal(store.size, 2)
  use('c', 4000)
  t.equal(store.size, 2, 'the oldest went')
  t.equal(store.enter('b', 'other'), null)
  const again = store.enter('b', 'f')!
  t.equal(again.generations.length, 1)
  for (const key of ['d', 'e', 'f', 'g']) use(key, 100)
  t.equal(store.size, 4, 'three kept, and one in use')
  store.leave(again)
  t.equal(store.size, 3)
  const broken = store.enter('h', 'f')!
  store.leave(broken)
  t.equal(store.size, 3, 'nothing to keep of it')
  await new Promise(resolve => setTimeout(resolve, 150))
  t.equal(store.size, 0)
})
