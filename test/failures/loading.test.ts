import { copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { writeTinyModel } from '../support/gguf/tiny-models.js'
import {
  ask,
  chat,
  embedded,
  flowing,
  killEngine,
  longText,
  post,
  serve,
  stream,
  tiny,
  until
} from './serving.js'

t.test('50 clients, one load', async t => {
  const serving = await serve(t)
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(serving, chat(`Hello ${i}`))))
  t.same(new Set(answers.map(answer => answer.status)), new Set([200]))
  t.equal(serving.pids.size, 1)
  t.ok(await serving.sound())
})

t.test('a model that is not loaded', async t => {
  const serving = await serve(t)
  const unload = () => serving.model.unload({ timeoutMs: 1000 })

  t.test('a client that does not want to wait is told when to come back', async t => {
    const refused = await ask(serving, chat('Hello'), { headers: { 'x-octavo-wait': '0' } })
    t.equal(refused.status, 503)
    t.equal(refused.json.error?.code, 'model_loading')
    t.ok(Number(refused.headers.get('retry-after')) >= 1)
    await until('ready', () => serving.model.isReady)
    const answer = await ask(serving, chat('Hello'), { headers: { 'x-octavo-wait': '0' } })
    t.equal(answer.status, 200)
  })

  t.test('a stream with events hears of the load before its first text', async t => {
    await unload()
    const reading = await stream(serving, chat('Hello'), { 'x-octavo-events': '1' })
    t.equal(await reading.end, 'done')
    const events = reading.text().match(/^event: model_loading\ndata: .*$/gm) ?? []
    t.ok(events.length >= 2)
    t.match(JSON.parse(events[0]!.split('data: ')[1]!), {
      state: /loading|waiting/,
      progress: Number,
      estimated_ms: Number
    })
    t.match(events.at(-1), /"state":"ready","progress":1/)
    t.ok(reading.text().lastIndexOf('model_loading') < reading.text().indexOf('"content"'))
  })

  t.test('without, a short load is not mentioned', async t => {
    await unload()
    const reading = await stream(serving, chat('Hello'))
    t.equal(await reading.end, 'done')
    t.notMatch(reading.text(), /^event: /m)
  })

  const messages = [{ role: 'user', content: longText.repeat(8) }]
  for (const [name, path, body, code, param] of [
    [
      'a prompt that is too long',
      'chat/completions',
      { messages, stream: true },
      'context_length_exceeded',
      'messages'
    ],
    [
      'a text that is too long',
      'completions',
      { prompt: ['Hello', longText.repeat(8)], stream: true },
      'context_length_exceeded',
      'prompt'
    ],
    [
      'a message that is too long',
      'messages',
      { messages, max_tokens: 4, stream: true },
      'invalid_request_error',
      undefined
    ],
    [
      'input that is too long',
      'responses',
      { input: longText.repeat(8), stream: true },
      'context_length_exceeded',
      'input'
    ],
    [
      'a grammar that is none',
      'chat/completions',
      { ...chat('Hello'), grammar: 'root ::= (', stream: true },
      'invalid_value',
      'grammar'
    ],
    [
      'a token that the vocabulary lacks',
      'chat/completions',
      { ...chat('Hello'), logit_bias: { 999999: 1 }, stream: true },
      'invalid_value',
      'logit_bias'
    ],
    [
      'a token that there is not',
      'completions',
      { prompt: [1, 2, 999999], stream: true },
      'invalid_value',
      'prompt'
    ]
  ] as const) {
    t.test(`${name} is a 400 before the stream's headers, and loads nothing`, async t => {
      await unload()
      const headers = { 'x-octavo-events': '1' }
      const answer = await ask(serving, body, { path: `/v1/${path}`, headers })
      t.equal(answer.status, 400)
      const { code: given, type, param: field } = answer.json.error as Record<string, unknown>
      t.equal(given ?? type, code)
      t.equal(field, param)
      t.equal(serving.model.state, 'unloaded')
    })
  }

  t.test('a prompt that fits is served after having been looked at', async t => {
    await unload()
    const answer = await ask(serving, chat(longText))
    t.equal(answer.status, 200)
  })

  for (const [path, body] of [
    ['/tokenize', { content: 'Hello' }],
    ['/detokenize', { tokens: [5, 6] }],
    ['/apply-template', { messages: [{ role: 'user', content: 'Hello' }] }],
    ['/props', undefined]
  ] as const) {
    t.test(`${path} waits for it, or does not`, async t => {
      await unload()
      const method = body === undefined ? 'GET' : 'POST'
      const refused = await ask(serving, body, { path, method, headers: { 'x-octavo-wait': '0' } })
      t.equal(refused.status, 503)
      t.equal(refused.json.error?.code, 'model_loading')
      t.ok(Number(refused.headers.get('retry-after')) >= 1)
      t.equal((await ask(serving, body, { path, method })).status, 200)
      t.equal(serving.model.state, 'ready')
    })
  }

  t.test('a wrong parameter is a 400 without a load', async t => {
    await unload()
    const answer = await ask(serving, chat('Hello', { top_logprobs: 3 }))
    t.equal(answer.status, 400)
    t.equal(serving.model.state, 'unloaded')
  })

  t.test('a client that leaves takes nobody else along', async t => {
    await unload()
    const leaving = new AbortController()
    const left = post(serving, chat('Hello'), { signal: leaving.signal }).catch(() => 'left')
    const other = ask(serving, chat('Hello'))
    await until('loading', () => serving.model.progress > 0)
    leaving.abort()
    t.equal(await left, 'left')
    t.equal((await other).status, 200)
    t.equal(serving.model.active, 0)
  })

  t.test('a stream whose client leaves while its model loads', async t => {
    await unload()
    const leaving = new AbortController()
    const left = post(
      serving,
      { ...chat('Hello'), stream: true },
      { signal: leaving.signal, headers: { 'x-octavo-events': '1' } }
    )
    await until('loading', () => serving.model.progress > 0)
    leaving.abort()
    await left.catch(() => {})
    t.equal((await ask(serving, chat('Hello'))).status, 200)
    await until('nothing is left', () => serving.model.active === 0)
    t.ok(await serving.sound())
  })
})

t.test('a load that does not end: model_load_timeout, whole and in a stream', async t => {
  const serving = await serve(t, [{ id: 'm' }], { times: { loadTimeoutMs: 300 } })
  const whole = ask(serving, chat('Hello'))
  const streamed = stream(serving, chat('Hello'), { 'x-octavo-events': '1' })
  await until('started', () => serving.model.pid !== undefined)
  const pid = killEngine(serving, 'SIGSTOP')
  const { status, json } = await whole
  t.equal(status, 503)
  t.equal(json.error?.code, 'model_load_timeout')
  const reading = await streamed
  t.equal(reading.status, 200)
  t.equal(await reading.end, 'error')
  t.match(reading.text(), /event: model_loading[\s\S]*"code":"model_load_timeout"/)
  const tokens = await ask(serving, { content: 'Hello' }, { path: '/tokenize' })
  t.equal(tokens.json.error?.code, 'model_load_timeout', 'and for who only wants tokens')
  process.kill(pid, 'SIGCONT')
  await until('ready', () => serving.model.isReady)
  t.equal((await ask(serving, chat('Hello'))).status, 200, 'the load went on')
})

t.test('a slow load: a stream gets its headers, and a comment', async t => {
  const serving = await serve(t)
  const reading = stream(serving, chat('Hello'))
  await until('started', () => serving.model.pid !== undefined)
  const pid = killEngine(serving, 'SIGSTOP')
  const { status, text, end } = await reading
  t.equal(status, 200)
  await until('a comment', () => /^: model loading, \d+ %, ready in about \d+ ms$/m.test(text()))
  process.kill(pid, 'SIGCONT')
  t.equal(await end, 'done')
  t.match(text(), /"content"/)
})

t.test('the model file', async t => {
  const folder = t.testdir({ 'text.gguf': 'GGUF and then nothing' })
  const file = (name: string) => path.join(folder, name)
  copyFileSync(embedded, file('removed.gguf'))
  copyFileSync(embedded, file('cut.gguf'))
  writeTinyModel('vocabulary', file('vocabulary.gguf'))
  writeTinyModel('llama', file('foreign.gguf'), {
    metadata: { 'general.architecture': { type: 'string', value: 'nonsense' } }
  })
  const names = ['removed', 'cut', 'text', 'vocabulary', 'foreign', 'none']
  const serving = await serve(
    t,
    names.map(id => ({ id, file: file(`${id}.gguf`) }))
  )
  const askFor = (model: string) => ask(serving, chat('Hello', { model }))

  t.test('removed while it serves: it goes on; once unloaded, it is told; put back, it works', async t => {
    t.equal((await askFor('removed')).status, 200)
    rmSync(file('removed.gguf'))
    t.equal((await askFor('removed')).status, 200)
    await serving.models.get('removed')!.unload({ timeoutMs: 1000 })
    const { status, headers, json } = await askFor('removed')
    t.equal(status, 503)
    t.equal(headers.get('x-should-retry'), 'false')
    t.match(json.error, { code: 'model_load_failed', message: /there is no file/ })
    copyFileSync(embedded, file('removed.gguf'))
    t.equal((await askFor('removed')).status, 200)
  })

  t.test('removed while it serves, and the engine crashes', async t => {
    rmSync(file('removed.gguf'))
    const model = serving.models.get('removed')!
    killEngine({ model })
    await until('failed', () => model.failure?.code === 'load_failed')
    t.match((await askFor('removed')).json.error, { code: 'model_load_failed' })
    t.equal(serving.models.memory.used, 0)
  })

  t.test('cut short while it is not loaded', async t => {
    truncateSync(file('cut.gguf'), 10_000_000)
    t.match((await askFor('cut')).json.error, { code: 'model_load_failed', message: /cut short/ })
    writeFileSync(file('cut.gguf'), readFileSync(embedded))
    t.equal((await askFor('cut')).status, 200)
  })

  for (const [name, reason] of [
    ['text', /./],
    ['vocabulary', /vocabulary only/],
    ['foreign', /nonsense|architecture/],
    ['none', /there is no file/]
  ] as const) {
    t.test(`that cannot be loaded: ${name}`, async t => {
      const { status, json } = await askFor(name)
      t.equal(status, 503)
      t.match(json.error, { code: 'model_load_failed', message: reason })
      t.equal(serving.models.get(name)!.state, 'failed')
    })
  }

  t.test('one bad model makes the server degraded, not down', async t => {
    await serving.models
      .get('removed')!
      .load()
      .catch(() => {})
    copyFileSync(embedded, file('removed.gguf'))
    await serving.models.get('removed')!.load()
    t.match(await (await fetch(`${serving.url}/health`)).json(), { status: 'degraded' })
  })
})

t.test('a context beyond all memory: refused by the engine, with figures', async t => {
  const serving = await serve(t, [{ id: 'm', engine: { contextCells: 1_000_000_000 } }])
  const { status, json } = await ask(serving, chat('Hello'))
  t.equal(status, 503)
  t.match(json.error, { code: 'model_unavailable', message: /GiB of memory/ })
})

t.test('memory for one of two', async t => {
  const file = tiny(t, 'tiny')
  const serving = await serve(t, [{ id: 'a' }, { id: 'b', file }, { id: 'big', file, bytes: 2 ** 40 }], {
    memoryBudget: () => 150
  })
  const [a, b] = serving.models.list()

  t.test('they take turns', async t => {
    for (const model of ['a', 'b', 'a', 'b']) {
      const answer = await ask(serving, chat('Hello', { model }))
      t.equal(answer.status, 200)
      t.equal(answer.json.model, model)
      t.equal(serving.models.list().filter(one => one.isReady).length, 1)
    }
  })

  t.test('a stream keeps its model, who asks for the other waits', async t => {
    const reading = await flowing(serving, 'memory', { model: 'a' })
    const other = ask(serving, chat('Hello', { model: 'b' }))
    await until('waiting', () => b!.loading?.state === 'waiting')
    t.ok(a!.isReady)
    t.equal(await reading.end, 'done')
    t.equal((await other).status, 200)
  })

  t.test('both at once, ten times: everybody is answered', async t => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ask(serving, chat(`Hello ${i}`, { model: i % 2 ? 'a' : 'b' })))
    )
    t.same(new Set(answers.map(answer => answer.status)), new Set([200]))
    t.ok(await serving.sound())
  })

  t.test('what can never fit is refused with the figures', async t => {
    const { status, json } = await ask(serving, chat('Hello', { model: 'big' }))
    t.equal(status, 503)
    t.match(json.error, { code: 'model_load_failed', message: /big takes 1024\.0 GiB of memory/ })
  })
})

t.test('a time to live of 60 ms, and requests about as often: none is lost', async t => {
  const file = tiny(t, 'tiny')
  const serving = await serve(t, [{ id: 'm', file }], { times: { onDemandTtlMs: 60 } })
  const statuses = new Set<number>()
  for (let i = 0; i < 12; i++) {
    statuses.add((await ask(serving, chat('Hello'))).status)
    await new Promise(resolve => setTimeout(resolve, 50 + i * 2))
  }
  t.same(statuses, new Set([200]))
  await until('unloaded', () => serving.model.state === 'unloaded')
  const reading = await flowing(serving, 'time')
  t.equal(await reading.end, 'done')
})
