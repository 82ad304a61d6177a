import t from 'tap'
import type { Backend, SamplerParams } from '../../src/engine/backend.js'
import { samplerSteps } from '../../src/llama/sampler.js'
import { feed, greedy, largest, small, someTokens } from './support/backends.js'

const warm: SamplerParams = { ...greedy, temperature: 1 }
const kinds = (params: Partial<SamplerParams>) =>
  samplerSteps({ ...warm, ...params }, 6400, 2048).map(({ kind }) => kind)

t.test('builds the cheapest chain for what is asked, in the order of llama.cpp', async t => {
  t.same(kinds({ temperature: 0, topK: 40, topP: 0.5 }), ['greedy'])
  t.same(kinds({ topK: 1 }), ['greedy'])
  t.same(kinds({}), ['top_k', 'dist'])
  t.same(kinds({ topP: 0.9 }), ['top_k', 'top_p', 'dist'], 'never top_p without top_k')
  t.same(kinds({ temperature: 0.7, topK: 40, topP: 0.9, minP: 0.1 }), [
    'top_k',
    'top_p',
    'min_p',
    'temperature',
    'dist'
  ])
  t.same(kinds({ repeatPenalty: 1.1, logitBias: [{ token: 5, bias: 1 }], temperature: 0 }), [
    'logit_bias',
    'penalties',
    'greedy'
  ])
  t.same(kinds({ repeatPenalty: 1.1, repeatLastN: 0 }), ['top_k', 'dist'], 'no history, no penalty')
})

t.test('turns parameters into what the library means by them', async t => {
  const step = (params: Partial<SamplerParams>, kind: string) =>
    samplerSteps({ ...warm, ...params }, 6400, 2048).find(found => found.kind === kind)
  t.match(step({ repeatPenalty: 2, repeatLastN: -1 }, 'penalties'), { lastN: 2048 })
  t.match(step({ presencePenalty: 1, repeatLastN: 9999 }, 'penalties'), { lastN: 2048 })
  t.match(step({ topK: 99_999 }, 'top_k'), { k: 6400 })
  t.match(step({ seed: 0xffffffff }, 'dist'), { seed: 0xfffffffe }, 'the seed that means a random one')
  t.same(step({ logitBias: [{ token: 3, bias: null }] }, 'logit_bias'), {
    kind: 'logit_bias',
    biases: [{ token: 3, bias: -Infinity }]
  })
})

t.test('refuses what the library would not survive', async t => {
  for (const params of [
    { repeatPenalty: 0 },
    { temperature: Number.NaN },
    { frequencyPenalty: Number.POSITIVE_INFINITY },
    { logitBias: [{ token: 6400, bias: 1 }] },
    { logitBias: [{ token: -1, bias: 1 }] },
    { logitBias: [{ token: 1, bias: Number.NaN }] }
  ]) {
    t.throws(() => kinds(params), RangeError, JSON.stringify(params))
  }
})

t.test('on a real model', async t => {
  const backend = await small(t)
  const logits = await feed(backend, 0, someTokens(30, 6400), 0)
  const row = 29
  const draw = (params: Partial<SamplerParams>, count = 1) =>
    draws(backend, row, { ...greedy, ...params }, count)

  t.test('greedy takes the most likely token; top_k 1 does the same at any temperature', async t => {
    t.same(draw({}), [largest(logits)])
    t.same(draw({ temperature: 1.5, topK: 1 }), [largest(logits)])
    t.same(draw({ temperature: 1, topP: 0.000001 }), [largest(logits)])
    t.same(draw({ temperature: 1, minP: 1 }), [largest(logits)])
  })

  t.test('a seed gives the same tokens again, another one others', async t => {
    const params = { temperature: 1.5, topK: 200 }
    t.same(draw({ ...params, seed: 7 }, 50), draw({ ...params, seed: 7 }, 50))
    t.notSame(draw({ ...params, seed: 7 }, 50), draw({ ...params, seed: 8 }, 50))
    t.same(draw({ ...params, seed: 0xffffffff }, 50), draw({ ...params, seed: 0xffffffff }, 50))
  })

  t.test('top_k bounds what is drawn', async t => {
    const best = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, 5)
    const drawn = new Set(draw({ temperature: 5, topK: 5, seed: 3 }, 300))
    t.same([...drawn].sort(), best.sort())
  })

  t.test('draws follow the probabilities', async t => {
    const best = largest(logits)
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - logits[best]!), 0)
    const count = 4000
    const share = draw({ temperature: 1, seed: 11 }, count).filter(token => token === best).length / count
    t.ok(Math.abs(share - 1 / sum) < 0.04, `${share} against ${1 / sum}`)
  })

  t.test('a logit bias forces and forbids', async t => {
    const best = largest(logits)
    t.same(draw({ logitBias: [{ token: 123, bias: 1000 }] }), [123])
    t.not(draw({ logitBias: [{ token: best, bias: null }] })[0], best)
    t.same(draw({}), [best], 'the logits themselves are not touched')
  })

  t.test('penalties look at what was accepted, prompt tokens too', async t => {
    const best = largest(logits)
    const sampler = backend.createSampler({ ...greedy, presencePenalty: 100 })
    sampler.accept(best)
    const second = sampler.sample(row)
    t.not(second, best)
    t.not(sampler.sample(row), second, 'a drawn token is accepted by drawing it')
    t.throws(() => sampler.accept(6400), RangeError)
    sampler.free()
  })

  t.test('a mask written into the logits restricts what is drawn', async t => {
    const view = backend.logits(row)
    const kept = view.slice()
    view.fill(-Infinity)
    view[77] = 0
    t.same(draw({ temperature: 1, topP: 0.9 }, 20), new Array(20).fill(77))
    t.same(draw({}), [77])
    view.fill(-Infinity)
    t.equal(draw({ temperature: 1 }).length, 1, 'nothing left does not kill the process')
    view.set(kept)
    t.same(draw({}), [largest(logits)])
  })
})

function draws(backend: Backend, row: number, params: SamplerParams, count: number): number[] {
  const sampler = backend.createSampler(params)
  const tokens = Array.from({ length: count }, () => sampler.sample(row))
  sampler.free()
  return tokens
}
