import t, { type Test } from 'tap'
import { createModels, type ModelOptions, type ModelsOptions } from '../../src/models/registry.js'
import { ModelUnavailableError } from '../../src/models/types.js'
import { fakeEngine, hosted, silent } from './helpers.js'
import { generationRequest } from './messages.js'

function registry(t: Test, models: ModelOptions[], more: Partial<ModelsOptions> = {}) {
  const all = createModels({
    models,
    entry: fakeEngine,
    logger: silent,
    bounds: { exitMs: 300, patienceMs: 0 },
    ...more
  })
  t.teardown(() => all.drain({ timeoutMs: 100 }))
  return all
}

const plan = hosted()

t.test('names: the model itself, its aliases, default, none', async t => {
  const models = registry(t, [
    { id: 'a', aliases: ['first', 'one'], ...plan },
    { id: 'b', ...plan }
  ])
  t.same(
    models.list().map(model => model.id),
    ['a', 'b']
  )
  for (const name of ['a', 'first', 'one', 'default', undefined]) t.equal(models.find(name)?.id, 'a')
  t.equal(models.find('b')?.id, 'b')
  t.equal(models.find('c'), undefined)
  t.equal(models.find('*'), undefined)
  t.same(models.find('a')?.aliases, ['first', 'one'])
  t.ok(Math.abs(models.find('a')!.created - Date.now() / 1000) < 60)
})

t.test('* answers to any name, but an exact name goes first', async t => {
  const models = registry(t, [
    { id: 'a', ...plan },
    { id: 'b', aliases: ['*'], ...plan }
  ])
  t.equal(models.find('gpt-4o')?.id, 'b')
  t.equal(models.find('a')?.id, 'a')
  t.equal(models.find('default')?.id, 'a')
})

t.test('another default', async t => {
  const models = registry(
    t,
    [
      { id: 'a', ...plan },
      { id: 'b', ...plan }
    ],
    { default: 'b' }
  )
  t.equal(models.find(undefined)?.id, 'b')
})

t.test('what cannot be: no model, a name twice, a default that is none', async t => {
  const create =
    (models: ModelOptions[], more = {}) =>
    () =>
      createModels({ models, logger: silent, ...more })
  t.throws(create([]), /no model/)
  t.throws(
    create([
      { id: 'a', ...plan },
      { id: 'a', ...plan }
    ]),
    /two models answer to the name a/
  )
  t.throws(
    create([
      { id: 'a', aliases: ['*'], ...plan },
      { id: 'b', aliases: ['*'], ...plan }
    ]),
    /name \*/
  )
  t.throws(create([{ id: 'a', ...plan }], { default: 'x' }), /default model not found: x/)
})

t.test('load shows its progress, and leaves no listener', async t => {
  const models = registry(t, [
    { id: 'a', ...hosted({ load: 'slow' }) },
    { id: 'b', ...hosted({ load: 'slow' }) }
  ])
  const seen: number[] = []
  const [a, b] = await Promise.all([
    models.load(undefined, fraction => seen.push(fraction)),
    models.load('b')
  ])
  t.equal(a.state, 'ready')
  t.equal(b.id, 'b')
  t.equal(seen.length, 11)
  t.equal(models.events.listenerCount('progress'), 0)
})

t.test('a load that fails says why', async t => {
  const models = registry(t, [{ id: 'a', ...hosted({ load: 'failed', code: 'vocabulary_only' }) }])
  const failure = { code: 'vocabulary_only', message: 'the file is damaged' }
  await t.rejects(models.load(), new ModelUnavailableError(failure, null))
  await t.rejects(models.load('x'), { message: 'no model is called x' })
  t.equal(models.events.listenerCount('progress'), 0)
})

t.test('drain adds up, and nothing is served afterwards', async t => {
  const models = registry(t, [
    { id: 'a', ...plan },
    { id: 'b', ...plan },
    { id: 'never-loaded', ...plan }
  ])
  for (const name of ['a', 'b']) {
    const engine = await models.find(name)!.engine()
    engine.submit(generationRequest('keep'), () => {})
  }
  t.same(await models.drain({ timeoutMs: 1000 }), { finished: 2, aborted: 2, spilledBytes: 20 })
  for (const model of models.list()) {
    t.equal(model.state, 'unloaded')
    await t.rejects(model.engine(), ModelUnavailableError)
  }
  t.same(await models.drain({ timeoutMs: 1000 }), { finished: 0, aborted: 0, spilledBytes: 0 })
})
