import t, { type Test } from 'tap'
import type { HostedModel } from '../../src/models/hosted-model.js'
import { createModels, type ModelOptions } from '../../src/models/registry.js'
import { SwapError } from '../../src/models/swap.js'
import type { Model } from '../../src/models/types.js'
import { fakeEngine, hosted, silent, until } from './helpers.js'
import { generationRequest } from './messages.js'

function serve(t: Test, budget: number, to: Record<string, string | number> = {}) {
  const entries: ModelOptions[] = [
    { id: 'old', aliases: ['chat', 'best'], ...hosted() },
    { id: 'new', ...hosted(to) },
    { id: 'third', ...hosted() }
  ]
  const models = createModels({
    models: entries,
    entry: fakeEngine,
    logger: silent,
    memoryBudget: () => budget,
    bounds: { exitMs: 300, patienceMs: 0 },
    times: { loadTimeoutMs: 5000 }
  })
  t.teardown(() => models.drain({ timeoutMs: 100 }))
  const [old, fresh] = models.list() as [HostedModel, HostedModel]
  return { models, old, fresh, chat: models.find('chat') as Model }
}

async function answered(model: Model): Promise<string> {
  const engine = await model.engine()
  return new Promise(resolve => {
    engine.submit(generationRequest(), event => {
      if (event.type === 'end' || event.type === 'failed') resolve(`${event.type} ${model.id}`)
    })
  })
}

async function failure(swap: Promise<unknown>): Promise<SwapError> {
  const error = await swap.then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  if (!(error instanceof SwapError)) throw new Error(`not refused: ${error}`)
  return error
}

async function keepRunning(model: Model) {
  const engine = await model.engine()
  const events: string[] = []
  const generation = engine.submit(generationRequest('keep'), event => events.push(event.type))
  await until('admitted', () => events.length > 0)
  return { events, cancel: () => generation.cancel() }
}

t.test('with memory for both: nobody waits, the old one goes when its last request has ended', async t => {
  const { models, old, fresh, chat } = serve(t, 200)
  const running = await keepRunning(chat)
  const result = await models.swap('old', 'new', undefined, 1000)
  t.match(result, { from: 'old', to: 'new', aliases: ['chat', 'best'], beside: true, heldMs: 0 })
  t.equal(await answered(chat), 'end new')
  t.equal(await answered(models.find(undefined)!), 'end new', 'the default moves along')
  t.same(fresh.aliases, ['chat', 'best'])
  t.same(old.aliases, [])
  t.equal(old.state, 'ready')
  t.same(running.events, ['verdict'])
  running.cancel()
  await until('gone', () => old.state === 'unloaded')
})

t.test('and back before it has gone: it stays', async t => {
  const { models, old, chat } = serve(t, 200)
  const running = await keepRunning(chat)
  await models.swap('old', 'new', undefined, 1000)
  await models.swap('new', 'old', undefined, 1000)
  running.cancel()
  await until('the other one has gone', () => models.get('new')?.state === 'unloaded')
  t.equal(old.state, 'ready')
  t.equal(await answered(chat), 'end old')
})

t.test('one alias alone', async t => {
  const { models, chat } = serve(t, 200)
  await models.swap('chat', 'new', 'best', 1000)
  t.equal(chat.id, 'old')
  t.equal(models.find('best')?.id, 'new')
  await models.swap('old', 'new', 'brand-new-name', 1000)
  t.equal(models.find('brand-new-name')?.id, 'new')
})

t.test('without: who asks for the name waits, requests in flight finish first', async t => {
  const { models, old, fresh, chat } = serve(t, 100)
  const running = await keepRunning(chat)
  const swapping = models.swap('old', 'new', undefined, 5000)
  await until('held', () => old.isHeld)
  const waiting = Array.from({ length: 5 }, () => answered(chat))
  await new Promise(resolve => setTimeout(resolve, 50))
  t.equal(old.state, 'ready', 'not before its request has ended')
  running.cancel()
  t.match(await swapping, { beside: false })
  t.same(new Set(await Promise.all(waiting)), new Set(['end new']))
  t.same([old.state, fresh.state], ['unloaded', 'ready'])
})

t.test('a load that fails: the old one is back, and nobody has noticed', async t => {
  const { models, old, chat } = serve(t, 100, { load: 'failed' })
  t.equal(await answered(chat), 'end old')
  const swapping = failure(models.swap('old', 'new', undefined, 1000))
  await until('held', () => old.isHeld)
  const waiting = answered(chat)
  t.match(await swapping, {
    reason: 'load_failed',
    rolledBack: true,
    message: /the file is damaged; old is back/
  })
  t.equal(await waiting, 'end old')
  t.same(old.aliases, ['chat', 'best'])
})

t.test('beside, a load that fails changes nothing', async t => {
  const { models, chat } = serve(t, 200, { load: 'failed' })
  await answered(chat)
  t.match(await failure(models.swap('old', 'new', undefined, 1000)), {
    reason: 'load_failed',
    rolledBack: true
  })
  t.equal(await answered(chat), 'end old')
})

t.test('requests that do not end in time: everything stays as it was', async t => {
  const { models, old, chat } = serve(t, 100)
  const running = await keepRunning(chat)
  t.match(await failure(models.swap('old', 'new', undefined, 100)), { reason: 'busy' })
  t.notOk(old.isHeld)
  t.equal(await answered(chat), 'end old')
  t.same(running.events, ['verdict'])
  running.cancel()
})

t.test('two swaps at once: the second is refused', async t => {
  const { models, chat } = serve(t, 100, { load: 'slow' })
  await answered(chat)
  const first = models.swap('old', 'new', undefined, 1000)
  t.match(await failure(models.swap('old', 'third', undefined, 1000)), { reason: 'in_progress' })
  await first
  t.equal(models.swapping, false)
  t.equal(await answered(chat), 'end new')
})

t.test('what cannot be', async t => {
  const { models } = serve(t, 200)
  const cases: Array<[string, string, string | undefined, string]> = [
    ['none', 'new', undefined, 'not_found'],
    ['old', 'none', undefined, 'not_found'],
    ['old', 'chat', undefined, 'same'],
    ['old', 'new', 'third', 'name_taken']
  ]
  for (const [from, to, alias, reason] of cases) {
    t.equal((await failure(models.swap(from, to, alias, 100))).reason, reason)
  }
})
