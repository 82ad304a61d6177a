import t from 'tap'
import type { FailureCode } from '../../src/engine/messages.js'
import { EngineGoneError, ModelUnavailableError } from '../../src/models/types.js'
import { type ApiError, errorHeaders, openaiErrorBody } from '../../src/protocol/errors.js'
import { engineAccessError, failureError, refusalError } from '../../src/protocol/outcomes.js'

t.test('a full engine is a 429 that says when to come back', async t => {
  const verdict = { kind: 'full', retryAfterMs: 2500, reason: 'queue' } as const
  const error = refusalError(verdict, {}, 'messages')
  t.match(error, { status: 429, code: 'pool_exhausted', message: /too many requests wait.*in 3 s/ })
  t.match(errorHeaders(error), { 'retry-after': '3', 'retry-after-ms': '2500' })
})

t.test('a prompt that is too long carries both figures', async t => {
  const error = refusalError({ kind: 'tooLong', promptTokens: 5000, limit: 4096 }, {}, 'prompt')
  t.equal(error.status, 400)
  t.match(openaiErrorBody(error).error, {
    code: 'context_length_exceeded',
    param: 'prompt',
    n_prompt_tokens: 5000,
    n_ctx: 4096
  })
})

t.test("an invalid field is named in the protocol's own words", async t => {
  const verdict = { kind: 'invalid', param: 'constraint', message: 'root rule missing' } as const
  const error = refusalError(verdict, { constraint: 'grammar' }, 'messages')
  t.match(error, { status: 400, param: 'grammar', message: /'grammar': root rule missing/ })
})

t.test('a draining engine is a 503', async t => {
  t.match(refusalError({ kind: 'draining', retryAfterMs: 100 }, {}, 'messages'), {
    status: 503,
    code: 'draining'
  })
})

t.test('every failure has a status and advice that fit', async t => {
  const cases: Array<[FailureCode, number, string[]]> = [
    ['engine_crashed', 503, ['retry-after', 'retry-after-ms']],
    ['engine_error', 500, []],
    ['queue_timeout', 503, ['retry-after', 'retry-after-ms']],
    ['first_token_timeout', 504, ['x-should-retry']],
    ['total_timeout', 504, ['x-should-retry']],
    ['draining', 503, ['retry-after', 'retry-after-ms']],
    ['slow_client', 408, ['x-should-retry']],
    ['constraint_failed', 500, []]
  ]
  for (const [code, status, headers] of cases) {
    const error = failureError(code, 'because')
    t.match(error, { status, code })
    t.strictSame(Object.keys(errorHeaders(error)), headers, code)
  }
})

t.test('a model that cannot be had: worth trying again or not', async t => {
  const failure = { code: 'load_failed', message: 'file not found' }
  const again = engineAccessError(new ModelUnavailableError(failure, 5000)) as ApiError
  t.match(again, { status: 503, code: 'model_unavailable', message: /file not found/, retryAfterMs: 5000 })
  const never = engineAccessError(new ModelUnavailableError(failure, null)) as ApiError
  t.match(never, { status: 503, code: 'model_load_failed' })
  t.equal(never.headers['x-should-retry'], 'false')
  t.match(engineAccessError(new EngineGoneError()), { code: 'engine_crashed' })
  const other = new Error('other')
  t.equal(engineAccessError(other), other)
})
