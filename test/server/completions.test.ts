import t from 'tap'
import type { GenerationRequest } from '../../src/engine/messages.js'
import { echoedTokens } from '../../src/protocol/openai/completion-logprobs.js'
import { violations } from '../support/openai-schema.js'
import { fakeModels } from './fake-engine.js'
import { build, parseEvents } from './helper.js'

const url = '/v1/completions'
const fox = 'The quick brown fox jumps over the lazy dog.'
const cat = 'A café on the 🦊 corner.'

interface Chunk {
  id: string
  choices: Array<{
    index: number
    text: string
    finish_reason: string | null
    logprobs: { tokens: string[]; text_offset: number[]; token_logprobs: number[] } | null
  }>
  usage?: { total_tokens: number }
}

/** A chunk has the shape of a whole answer, but for `finish_reason`, which is null until the last one of its choice. */
function chunkViolations(chunk: Chunk): string[] {
  const choices = chunk.choices.map(choice => ({ ...choice, finish_reason: choice.finish_reason ?? 'stop' }))
  return violations('CreateCompletionResponse', { ...chunk, choices })
}

t.test('a whole answer', async t => {
  const { app, models } = await build(t)
  const reply = await app.inject({
    method: 'POST',
    url,
    payload: { prompt: 'Once', temperature: 0, seed: 1 }
  })
  t.equal(reply.statusCode, 200)
  t.strictSame(violations('CreateCompletionResponse', reply.json()), [])
  t.match(reply.json(), {
    id: /^cmpl-\w{32}$/,
    model: 'fake',
    choices: [{ index: 0, text: fox, logprobs: null, finish_reason: 'stop' }],
    usage: { prompt_tokens: 1, completion_tokens: 10, total_tokens: 11 }
  })
  t.match(models.engine.last.request, {
    prompt: [{ type: 'text', text: 'Once', parseSpecial: true, addSpecial: true }],
    maxTokens: 16,
    choices: 1,
    reproducible: true,
    tenant: '127.0.0.1'
  })
})

t.test('several prompts: choices count through, usage is the sum, every form of prompt', async t => {
  const { app, models } = await build(t)
  const forms: Array<[unknown, number]> = [
    [['aaaa', 'bbbb', 'cccc'], 3],
    [[65, 66, 67], 1],
    [[[65], [66, 67]], 2],
    [[], 1],
    [null, 1],
    ['', 1]
  ]
  for (const [prompt, count] of forms) {
    const before = models.engine.generations.length
    const reply = await app.inject({ method: 'POST', url, payload: { prompt, n: 2 } })
    t.equal(reply.statusCode, 200, JSON.stringify(prompt))
    const { choices, usage } = reply.json()
    t.strictSame(violations('CreateCompletionResponse', reply.json()), [])
    t.strictSame(
      choices.map((choice: { index: number; text: string }) => [choice.index, choice.text]),
      Array.from({ length: count * 2 }, (_, index) => [index, index % 2 === 0 ? fox : cat])
    )
    t.equal(usage.completion_tokens, count * 18)
    t.equal(models.engine.generations.length - before, count)
  }
  const started = models.engine.generations.slice(0, 3).map(({ request }) => request.prompt)
  t.match(started, [[{ text: 'aaaa' }], [{ text: 'bbbb' }], [{ text: 'cccc' }]])
  t.match(models.engine.last.request.prompt, [{ text: '<|im_end|>' }], 'nothing: the start of a document')
})

t.test('many prompts go to the engine a few at a time, and wait where it is full', async t => {
  const { app, models } = await build(t)
  let running = 0
  let most = 0
  let refusals = 3
  const submit = models.engine.submit.bind(models.engine)
  models.engine.submit = (request, onEvent) => {
    running += 1
    most = Math.max(most, running)
    return submit(request, event => {
      const refused = event.type === 'verdict' && event.verdict.kind !== 'admitted'
      if (event.type === 'end' || refused) running -= 1
      onEvent(event)
    })
  }
  models.engine.script.verdict = () => {
    const first = models.engine.generations.length === 1
    return !first && refusals-- > 0 ? { kind: 'full', retryAfterMs: 5, reason: 'queue' } : undefined
  }
  const prompt = Array.from({ length: 50 }, (_, index) => `prompt ${index}`)
  const reply = await app.inject({ method: 'POST', url, payload: { prompt } })
  t.equal(reply.json().choices.length, 50)
  t.ok(most <= 16 && most > 4, `${most} at once`)
  t.equal(models.engine.generations.length, 53)
})

t.test("the first prompt's refusal is the request's; a later failure ends all", async t => {
  const { app, models } = await build(t)
  const payload = { prompt: ['a', 'b', 'c'] }
  models.engine.script.verdict = () => ({ kind: 'full', retryAfterMs: 900, reason: 'queue' })
  t.match(await app.inject({ method: 'POST', url, payload }), {
    statusCode: 429,
    headers: { 'retry-after-ms': '900' }
  })
  models.engine.script.verdict = () =>
    models.engine.generations.length > 3 ? { kind: 'draining', retryAfterMs: 5 } : undefined
  t.equal((await app.inject({ method: 'POST', url, payload })).statusCode, 503)
  models.engine.script.verdict = null
  models.engine.script.fail = { code: 'engine_crashed', afterTokens: 2 }
  t.equal((await app.inject({ method: 'POST', url, payload })).statusCode, 503)
  const streamed = await app.inject({ method: 'POST', url, payload: { ...payload, stream: true } })
  t.equal(streamed.statusCode, 200)
  t.match(parseEvents(streamed.body).data.at(-1), { error: { code: 'engine_crashed' } })
})

t.test('streamed and whole agree', async t => {
  const { app } = await build(t)
  const bodies = [
    { prompt: 'x' },
    { prompt: ['x', 'y'], n: 2 },
    { prompt: ['x', 'y'], echo: true },
    { prompt: 'x', logprobs: 2, n: 2 },
    { prompt: 'x', stop: ['fox'] },
    { prompt: 'x', max_tokens: 3 },
    { prompt: [72, 105], echo: true, max_tokens: 0 }
  ]
  for (const body of bodies) {
    const whole = (await app.inject({ method: 'POST', url, payload: body })).json()
    const payload = { ...body, stream: true, stream_options: { include_usage: true } }
    const events = parseEvents((await app.inject({ method: 'POST', url, payload })).body)
    t.equal(events.data.pop(), '[DONE]')
    const chunks = events.data as Chunk[]
    for (const chunk of chunks) t.strictSame(chunkViolations(chunk), [])
    t.equal(new Set(chunks.map(({ id }) => id)).size, 1)
    t.strictSame(chunks.at(-1)?.choices, [])
    t.strictSame(chunks.at(-1)?.usage, whole.usage)
    for (const choice of whole.choices) {
      const own = chunks.flatMap(chunk => chunk.choices).filter(({ index }) => index === choice.index)
      t.equal(own.map(({ text }) => text).join(''), choice.text, JSON.stringify(body))
      t.strictSame(own.map(chunk => chunk.finish_reason).filter(Boolean), [choice.finish_reason])
      t.strictSame(
        own.flatMap(({ logprobs }) => logprobs?.text_offset ?? []),
        choice.logprobs?.text_offset ?? []
      )
    }
  }
})

t.test('echo', async t => {
  const { app } = await build(t)
  const post = async (payload: object) => (await app.inject({ method: 'POST', url, payload })).json()
  t.equal((await post({ prompt: 'Say: ', echo: true })).choices[0].text, `Say: ${fox}`)
  t.match(await post({ prompt: [[72, 105], [33]], echo: true, max_tokens: 0 }), {
    choices: [
      { text: 'Hi', finish_reason: 'length' },
      { text: '!', finish_reason: 'length' }
    ],
    usage: { prompt_tokens: 3, completion_tokens: 0 }
  })
})

t.test('echo with log probabilities: the prompt has its own', async t => {
  const { app, models } = await build(t)
  models.engine.script.tokens = () => ['ca', 'fé']
  const payload = { echo: true, logprobs: 1, n: 2 }
  const ask = async (more: object) => {
    const reply = await app.inject({ method: 'POST', url, payload: { ...payload, ...more } })
    t.equal(reply.statusCode, 200, reply.body)
    return reply
  }
  const whole = (await ask({ prompt: ['Hé', 'x'] })).json()
  t.strictSame(
    whole.choices.map(({ text }: { text: string }) => text),
    ['Hécafé', 'Hécafé', 'xcafé', 'xcafé']
  )
  t.strictSame(whole.choices[1].logprobs, {
    text_offset: [0, 1, 2, 4],
    tokens: ['H', 'é', 'ca', 'fé'],
    token_logprobs: [0, -0.1, -0.1, -0.1],
    top_logprobs: [{}, { é: -0.1 }, { ca: -0.1 }, { fé: -0.1 }]
  })
  const only = (await ask({ prompt: [[72, 105]], max_tokens: 0, n: 1 })).json()
  t.equal(models.engine.last.request.promptLogprobs, 1)
  t.match(only, { choices: [{ text: 'Hi', logprobs: { tokens: ['H', 'i'] } }] })

  const stream = await ask({ prompt: ['Hé', 'x'], stream: true })
  const chunks = parseEvents(stream.body).data.slice(0, -1) as Array<typeof whole>
  for (const choice of whole.choices) {
    const own = chunks.flatMap(({ choices }) => choices).filter(({ index }) => index === choice.index)
    t.equal(own.map(({ text }) => text).join(''), choice.text)
    for (const list of ['tokens', 'token_logprobs', 'text_offset', 'top_logprobs']) {
      t.strictSame(
        own.flatMap(({ logprobs }) => logprobs?.[list] ?? []),
        choice.logprobs[list]
      )
    }
  }
})

t.test('what a tokenizer puts in front of a text is not echoed', async t => {
  const token = (text: string, logprob: number | null) => ({
    token: 1,
    bytes: [...Buffer.from(text)],
    logprob,
    top: []
  })
  const shown = echoedTokens([token('<s>', null), token(' Hi', -1), token('!', -2)], 'Hi!')
  t.strictSame(
    shown.map(({ bytes, logprob }) => [Buffer.from(bytes).toString(), logprob]),
    [
      ['Hi', null],
      ['!', -2]
    ]
  )
  t.strictSame(echoedTokens([token('<|im_end|>', null)], ''), [])
})

t.test('log probabilities in the old format', async t => {
  const { app, models } = await build(t)
  models.engine.script.tokens = () => ['é', '\ud83e', 'x']
  const reply = await app.inject({ method: 'POST', url, payload: { prompt: 'x', logprobs: 2 } })
  t.strictSame(reply.json().choices[0].logprobs, {
    text_offset: [0, 1, 2],
    token_logprobs: [-0.1, -0.1, -0.1],
    tokens: ['é', '\ufffd', 'x'],
    top_logprobs: [
      { é: -0.1, alt1: -1.1 },
      { '\ufffd': -0.1, alt1: -1.1 },
      { x: -0.1, alt1: -1.1 }
    ]
  })
})

t.test('best_of gives the likeliest, and counts all', async t => {
  const { app, models } = await build(t)
  models.engine.script.tokens = (_request, choice) => [`choice ${choice}`]
  const submit = models.engine.submit.bind(models.engine)
  models.engine.submit = (request: GenerationRequest, onEvent) =>
    submit(request, event => {
      // The later, the likelier.
      if (event.type === 'text') {
        for (const entry of event.logprobs ?? []) entry.logprob = -10 + event.choice
      }
      onEvent(event)
    })
  const post = (payload: object) => app.inject({ method: 'POST', url, payload })
  const body = (await post({ prompt: 'x', n: 2, best_of: 4 })).json()
  t.strictSame(
    body.choices.map((choice: { text: string }) => choice.text),
    ['choice 3', 'choice 2']
  )
  t.equal(body.choices[0].logprobs, null)
  t.equal(body.usage.completion_tokens, 4)
  t.equal((await post({ prompt: 'x', n: 1, best_of: 0 })).json().choices.length, 1)
  t.match((await post({ prompt: 'x', n: 3, best_of: 2 })).json(), { error: { param: 'best_of' } })
  t.match((await post({ prompt: 'x', best_of: 2, stream: true })).json(), { error: { param: 'best_of' } })
})

t.test('suffix: for models with the tokens for it', async t => {
  const { app, models } = await build(t)
  const post = (payload: object) => app.inject({ method: 'POST', url, payload })
  t.match((await post({ prompt: 'x', suffix: 'y' })).json(), { error: { param: 'suffix' } })
  t.equal((await post({ prompt: 'x', suffix: '' })).statusCode, 200, 'an empty one is none')

  const other = await build(t, {}, fakeModels())
  other.models.engine.call = (async (method: string, { text }: { text: string }) => {
    t.equal(method, 'tokenize')
    return text.startsWith('<fim_prefix>') ? [7, 8, 9] : [...text].map(() => 1)
  }) as typeof other.models.engine.call
  const reply = await other.app.inject({ method: 'POST', url, payload: { prompt: 'a', suffix: 'z' } })
  t.equal(reply.statusCode, 200)
  t.match(other.models.engine.last.request.prompt, [
    { type: 'text', text: '' },
    { type: 'tokens', tokens: [7] },
    { type: 'text', text: 'a', parseSpecial: false },
    { type: 'tokens', tokens: [8] },
    { type: 'text', text: 'z', parseSpecial: false },
    { type: 'tokens', tokens: [9] }
  ])
  t.equal(models.engine.generations.length, 1)
})

t.test('refusals', async t => {
  const { app, models } = await build(t)
  const cases: Array<[object, number, string, string]> = [
    [{ prompt: 5 }, 400, 'invalid_type', 'prompt'],
    [{ prompt: [1, 'a'] }, 400, 'invalid_type', 'prompt.0'],
    [{ prompt: [[]] }, 400, 'invalid_value', 'prompt.0'],
    [{ prompt: [5, 1000] }, 400, 'invalid_value', 'prompt'],
    [{ prompt: [-1] }, 400, 'invalid_value', 'prompt'],
    [{ prompt: 'x', logprobs: 6 }, 400, 'invalid_value', 'logprobs'],
    [{}, 400, 'missing_required_parameter', 'prompt'],
    [{ prompt: 'x', max_tokens: -1 }, 400, 'invalid_value', 'max_tokens'],
    [{ prompt: 'x', n: 0 }, 400, 'invalid_value', 'n'],
    [{ prompt: 'x', stream_options: {} }, 400, 'invalid_value', 'stream_options'],
    [{ prompt: 'x', model: 'gpt-9' }, 404, 'model_not_found', 'model'],
    [{ prompt: 'x', logit_bias: { 1000: 1 } }, 400, 'invalid_value', 'logit_bias'],
    [{ prompt: 'x '.repeat(5000) }, 400, 'context_length_exceeded', 'prompt'],
    [{ prompt: ['x', 'x '.repeat(5000)] }, 400, 'context_length_exceeded', 'prompt'],
    [{ prompt: 'x '.repeat(5000), max_tokens: 0 }, 400, 'context_length_exceeded', 'prompt']
  ]
  for (const [payload, status, code, param] of cases) {
    const label = JSON.stringify(payload).slice(0, 60)
    for (const stream of [false, true]) {
      const body = 'stream_options' in payload ? payload : { ...payload, stream }
      const reply = await app.inject({ method: 'POST', url, payload: body })
      t.equal(reply.statusCode, status, label)
      t.strictSame(violations('ErrorResponse', reply.json()), [])
      t.match(reply.json(), { error: { code, param } }, label)
    }
  }
  t.ok(models.engine.generations.every(({ sent }) => sent === 0))
})

t.test('a client that goes away frees all prompts', async t => {
  const { listen } = await import('./helper.js')
  const { url: address, models } = await listen(t)
  models.engine.script.tokenMs = 20
  models.engine.script.tokens = () => Array.from({ length: 1000 }, () => 'x')
  const gone = new AbortController()
  const prompt = Array.from({ length: 20 }, (_, index) => `p${index}`)
  const pending = fetch(`${address}${url}`, {
    method: 'POST',
    body: JSON.stringify({ prompt, max_tokens: 1000 }),
    headers: { 'content-type': 'application/json' },
    signal: gone.signal
  })
  await new Promise(resolve => setTimeout(resolve, 150))
  gone.abort()
  await t.rejects(pending)
  await new Promise(resolve => setTimeout(resolve, 150))
  t.equal(models.engine.generations.length, 16, 'the others never started')
  t.ok(models.engine.generations.every(({ cancelled }) => cancelled))
})
