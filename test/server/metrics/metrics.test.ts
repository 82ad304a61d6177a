import { EventEmitter } from 'node:events'
import t, { type Test } from 'tap'
import type { Verdict } from '../../../src/engine/messages.js'
import type { ModelEvents } from '../../../src/models/events.js'
import { poolStats } from '../../models/messages.js'
import { fakeModels } from '../fake-engine.js'
import { build, hello, listen, parseEvents } from '../helper.js'
import { total } from './exposition.js'

const url = '/v1/chat/completions'
const model = 'model_name="fake"'

async function scrape(app: { inject(url: string): Promise<{ body: string }> }): Promise<string> {
  return (await app.inject('/metrics')).body
}

t.test('counters agree with the sum of usage, whole and streamed', async t => {
  const { app, models } = await build(t)
  models.engine.script.cached = 2
  const sums = { prompt: 0, completion: 0, cached: 0 }
  const add = (usage: {
    prompt_tokens: number
    completion_tokens: number
    prompt_tokens_details: { cached_tokens: number }
  }) => {
    sums.prompt += usage.prompt_tokens
    sums.completion += usage.completion_tokens
    sums.cached += usage.prompt_tokens_details.cached_tokens
  }
  for (const n of [1, 2, 3]) {
    const reply = await app.inject({ method: 'POST', url, payload: { ...hello, n } })
    add(reply.json().usage)
    const payload = { ...hello, n, max_tokens: 3, stream: true, stream_options: { include_usage: true } }
    const chunks = parseEvents((await app.inject({ method: 'POST', url, payload })).body).data
    add((chunks.at(-2) as { usage: Parameters<typeof add>[0] }).usage)
  }
  const text = await scrape(app)
  t.equal(total(text, 'octavo_prompt_tokens_total', model), sums.prompt)
  t.equal(total(text, 'octavo_generation_tokens_total', model), sums.completion)
  t.equal(total(text, 'octavo_prefix_cache_hits_total', model), sums.cached)
  t.equal(total(text, 'octavo_prefix_cache_tier_hits_total', 'tier="resident"'), sums.cached)
  t.equal(total(text, 'octavo_request_prompt_tokens_sum'), sums.prompt)
  t.equal(total(text, 'octavo_request_generation_tokens_sum'), sums.completion)
  t.equal(total(text, 'octavo_request_success_total', 'finished_reason="length"'), 6)
  t.equal(total(text, 'octavo_request_success_total'), 12)
  for (const name of ['time_to_first_token', 'e2e_request_latency', 'request_queue_time']) {
    t.equal(total(text, `octavo_${name}_seconds_count`), 6, name)
    t.equal(total(text, `octavo_${name}_seconds_bucket`, 'le="+Inf"'), 6, name)
  }
  t.equal(
    total(text, 'octavo_inter_token_latency_seconds_count'),
    sums.completion - 12,
    'one gap fewer than tokens in each answer'
  )
  t.equal(
    total(text, 'octavo_http_requests_total', model, `route="${url}"`, 'method="POST"', 'status="200"'),
    6
  )
})

t.test('errors and refusals by their names; what clients send makes no series', async t => {
  const { app, models } = await build(t)
  const post = (payload: object) => app.inject({ method: 'POST', url, payload })
  const refuse = (verdict: Verdict) => {
    models.engine.script.verdict = () => verdict
  }
  refuse({ kind: 'full', reason: 'queue', retryAfterMs: 700 })
  t.equal((await post(hello)).statusCode, 429)
  refuse({ kind: 'tooLong', promptTokens: 9, limit: 8 })
  t.equal((await post(hello)).statusCode, 400)
  models.engine.script.verdict = null
  models.engine.script.fail = { code: 'engine_crashed', afterTokens: 2 }
  t.equal((await post(hello)).statusCode, 503)
  t.equal((await post({ ...hello, stream: true })).statusCode, 200, 'fails in mid-stream')
  await post({ ...hello, model: 'made-up-1' })
  await post({ ...hello, model: 'made-up-2' })
  await post({ ...hello, model: 7 })
  await app.inject('/no/such/path')
  const text = await scrape(app)
  t.equal(total(text, 'octavo_requests_rejected_total', model, 'reason="queue"'), 1)
  t.equal(total(text, 'octavo_requests_rejected_total', model, 'reason="too_long"'), 1)
  for (const [kind, count] of Object.entries({
    pool_exhausted: 1,
    context_length_exceeded: 1,
    engine_crashed: 2,
    model_not_found: 2,
    invalid_type: 1,
    not_found: 1
  })) {
    t.equal(total(text, 'octavo_errors_total', `kind="${kind}"`), count, kind)
  }
  t.equal(total(text, 'octavo_http_requests_total', 'model_name="unknown"', 'status="404"'), 2)
  t.equal(total(text, 'octavo_http_requests_total', 'route="unmatched"'), 1)
  t.notMatch(text, 'made-up')
})

t.test('a client that goes away is counted as such', async t => {
  const { app, models, url: address } = await listen(t)
  models.engine.script.tokens = () => Array.from({ length: 100_000 }, () => 'word ')
  models.engine.script.tokenMs = 1
  const giveUp = new AbortController()
  const reply = await fetch(address + url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...hello, stream: true }),
    signal: giveUp.signal
  })
  await reply.body!.getReader().read()
  giveUp.abort()
  await untilTotal(t, app, 1, 'octavo_http_requests_total', 'status="499"', model)
  const text = await scrape(app)
  t.equal(total(text, 'octavo_requests_cancelled_total', model), 1)
  t.equal(total(text, 'octavo_errors_total'), 0)
  t.ok(total(text, 'octavo_generation_tokens_total', model) > 0, 'what was generated is counted')
  t.match((await app.inject('/stats')).json(), {
    endpoints: { [`POST ${url}`]: { count: 1, errors: 0, aborted: 1 } }
  })
})

async function untilTotal(
  t: Test,
  app: Parameters<typeof scrape>[0],
  wanted: number,
  ...metric: [string, ...string[]]
): Promise<void> {
  for (let i = 0; i < 200 && total(await scrape(app), ...metric) !== wanted; i++) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  t.equal(total(await scrape(app), ...metric), wanted, metric.join(' '))
}

t.test('what the engine reports, over restarts, loads and failures', async t => {
  const events = new EventEmitter<ModelEvents>()
  const models = Object.assign(fakeModels(), { events })
  const { app } = await build(t, {}, models)
  const emitter = events as EventEmitter
  const named = { model: { id: 'fake' }, failure: null }
  const stats = poolStats(3)
  stats.waiting = 2
  stats.pool.usedCells = 640
  stats.pool.idleCells = 128
  stats.counters.preemptions = 4
  stats.stepTimes = { bounds: [1, 10], counts: [5, 5, 0], sum: 40 }
  stats.memoryBytes = 1234
  const report = () => {
    Object.assign(models.model, { stats })
    emitter.emit('stats', { ...named, stats })
  }
  emitter.emit('state', { ...named, from: 'unloaded', to: 'loading' })
  emitter.emit('verified', { ...named, ok: true, ms: 20 })
  emitter.emit('state', { ...named, from: 'loading', to: 'ready' })
  report()
  const before = await scrape(app)
  t.equal(total(before, 'octavo_num_requests_running', model), 3)
  t.equal(total(before, 'octavo_num_requests_waiting', model), 2)
  t.equal(total(before, 'octavo_kv_cache_used_blocks', model), 10)
  t.equal(total(before, 'octavo_kv_cache_blocks', model), 64)
  t.equal(total(before, 'octavo_kv_cache_usage_perc', model), 512 / 4096)
  t.equal(total(before, 'octavo_engine_resident_memory_bytes', model), 1234)
  t.equal(total(before, 'octavo_step_time_seconds_bucket', 'le="0.01"'), 10)
  t.equal(total(before, 'octavo_step_time_seconds_sum'), 0.04)
  t.equal(total(before, 'octavo_models_loaded'), 1)

  const failure = { code: 'out_of_memory', message: '' }
  Object.assign(models.model, { stats: null, restarts: 1, state: 'failed' })
  emitter.emit('state', { ...named, from: 'ready', to: 'failed' })
  emitter.emit('state', { ...named, from: 'failed', to: 'loading' })
  emitter.emit('verified', { ...named, ok: false, ms: 20 })
  emitter.emit('state', { ...named, from: 'loading', to: 'failed', failure })
  emitter.emit('breaker', { ...named, from: 'closed', to: 'open' })
  const down = await scrape(app)
  t.equal(total(down, 'octavo_num_requests_running', model), 0, 'gauges are 0 without an engine')
  t.equal(total(down, 'octavo_kv_cache_blocks', model), 0)
  t.equal(total(down, 'octavo_models_loaded'), 0)
  t.equal(total(down, 'octavo_num_preemptions_total', model), 4, 'counters are not')
  t.equal(total(down, 'octavo_model_loads_total', 'result="success"'), 1)
  t.equal(total(down, 'octavo_model_loads_total', 'result="out_of_memory"'), 1)
  t.equal(total(down, 'octavo_model_load_seconds_count'), 1)
  t.equal(total(down, 'octavo_model_verifications_total', 'result="success"'), 1)
  t.equal(total(down, 'octavo_model_verifications_total', 'result="failure"'), 1)
  t.equal(total(down, 'octavo_model_verification_seconds_sum'), 0.02)
  t.equal(total(down, 'octavo_model_breaker_state', 'state="open"'), 1)
  t.equal(total(down, 'octavo_model_breaker_state'), 1)
  t.equal(total(down, 'octavo_model_breaker_changes_total', 'state="open"'), 1)
  t.equal(total(down, 'octavo_model_breaker_changes_total'), 1)
  t.equal(total(down, 'octavo_model_state', 'state="failed"'), 1)
  t.equal(total(down, 'octavo_model_state'), 1)
  t.equal(total(down, 'octavo_model_state_changes_total', 'state="failed"'), 2)
  t.equal(total(down, 'octavo_engine_restarts_total', model), 1)

  emitter.emit('state', { ...named, from: 'failed', to: 'loading' })
  emitter.emit('state', { ...named, from: 'loading', to: 'ready' })
  report()
  const after = await scrape(app)
  t.equal(total(after, 'octavo_num_preemptions_total', model), 8, 'the new process counts from 0')
  t.equal(total(after, 'octavo_step_time_seconds_count'), 20)
})

t.test('process figures', async t => {
  const { app } = await build(t)
  await new Promise(resolve => setTimeout(resolve, 100))
  const text = await scrape(app)
  t.ok(total(text, 'process_resident_memory_bytes') > 1e7)
  const age = Date.now() / 1000 - total(text, 'process_start_time_seconds')
  t.ok(age > 0 && age < 3600)
  const lag = total(text, 'octavo_event_loop_lag_seconds', 'quantile="1"')
  t.ok(lag >= 0 && lag < 60, `${lag}`)
})

t.test('who may see them: a key where keys are set, and no rate limit', async t => {
  const { app } = await build(t, { apiKeys: ['k'], rateLimit: 1 })
  for (const path of ['/metrics', '/stats']) {
    t.equal((await app.inject(path)).statusCode, 401, path)
    for (let i = 0; i < 5; i++) {
      const reply = await app.inject({ url: path, headers: { authorization: 'Bearer k' } })
      t.equal(reply.statusCode, 200, path)
      t.match(reply.headers['cache-control'], 'no-store')
    }
  }
  const { body } = await app.inject({ url: '/metrics', headers: { authorization: 'Bearer k' } })
  t.equal(total(body, 'octavo_errors_total', 'kind="invalid_api_key"'), 2, 'refused requests are counted too')
})

t.test('/stats: quantiles per endpoint, figures per model', async t => {
  const { app, models } = await build(t)
  models.engine.script.tokenMs = 2
  for (let i = 0; i < 10; i++) await app.inject({ method: 'POST', url, payload: hello })
  await app.inject({ method: 'POST', url, payload: {} })
  const stats = (await app.inject('/stats')).json()
  const chat = stats.endpoints[`POST ${url}`]
  t.match(chat, { count: 11, errors: 1, errorRate: 1 / 11, aborted: 0 })
  t.ok(0 < chat.p50 && chat.p50 <= chat.p95 && chat.p95 <= chat.p99 && chat.p99 < 10_000)
  t.ok(chat.mean > 0)
  t.match(stats, {
    uptimeSeconds: Number,
    memory: { rss: Number },
    models: { fake: { state: 'ready', requests: { submitted: 10, failed: 0 }, tokens: { generated: 100 } } }
  })
})
