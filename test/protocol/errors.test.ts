import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { ApiError, errorCatalogue, errorHeaders, openaiErrorBody } from '../../src/protocol/errors.js'
import { packageRoot } from '../../src/root.js'
import { violations } from '../support/openai-schema.js'

t.test('docs/errors.md has a line for each error, and no other', async t => {
  const page = readFileSync(path.join(packageRoot(), 'docs/errors.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| (\w+) \| (no)? ?\| .+ \|$/gm)]
  const documented = rows.map(([, code, status, type, retry]) => ({ code, status, type, retry }))
  const known = Object.entries(errorCatalogue).map(([code, entry]) => ({
    code,
    status: String(entry.status),
    type: entry.type,
    retry: 'retry' in entry ? 'no' : undefined
  }))
  t.strictSame(documented, known)
})

t.test('every error has the shape that the specification wants', async t => {
  for (const code of Object.keys(errorCatalogue) as Array<keyof typeof errorCatalogue>) {
    const body = openaiErrorBody(new ApiError(code))
    t.strictSame(violations('ErrorResponse', body), [], code)
    t.strictSame(Object.keys(body.error), ['message', 'type', 'param', 'code'])
  }
})

t.test('messages are filled with their details, also with text that looks like a pattern', async t => {
  const error = new ApiError('invalid_value', { param: 'n', details: { name: 'n', reason: '$& $1 {name}' } })
  t.equal(error.message, "Invalid value for 'n': $& $1 {name}")
  t.equal(openaiErrorBody(error).error.param, 'n')
})

t.test('retry headers are capped at a minute and never zero', async t => {
  const headers = (retryAfterMs: number) => errorHeaders(new ApiError('pool_exhausted', { retryAfterMs }))
  t.strictSame(headers(1500), { 'retry-after': '2', 'retry-after-ms': '1500' })
  t.strictSame(headers(0), { 'retry-after': '1', 'retry-after-ms': '1' })
  t.strictSame(headers(3_600_000), { 'retry-after': '60', 'retry-after-ms': '60000' })
  t.strictSame(errorHeaders(new ApiError('pool_exhausted')), {})
  t.strictSame(errorHeaders(new ApiError('total_timeout')), { 'x-should-retry': 'false' })
})
