import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { packageRoot } from '../../../src/root.js'
import {
  type Definition,
  definitions,
  metricNames,
  metricsTable
} from '../../../src/server/metrics/definitions.js'
import { build } from '../helper.js'
import { exposition } from './exposition.js'

t.test('names and helps follow the rules of Prometheus', async t => {
  for (const name of metricNames) {
    const { type, help, buckets }: Definition = definitions[name]
    t.match(name, /^[a-z][a-z0-9_]*$/)
    t.equal(type === 'counter', name.endsWith('_total'), `${name}: _total says that it is a counter`)
    t.match(help, /^[A-Z].*\.$/, `${name}: help is whole sentences`)
    if (buckets)
      t.same(
        buckets,
        [...buckets].sort((a, b) => a - b),
        `${name}: buckets ascend`
      )
  }
})

t.test('every metric is exposed under its prefix', async t => {
  for (const metricsPrefix of ['octavo_', 'vllm:']) {
    const { app } = await build(t, { metricsPrefix })
    const reply = await app.inject('/metrics')
    t.equal(reply.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
    const { types } = exposition(reply.body)
    const expected = metricNames.map(name => {
      const { type, plain }: Definition = definitions[name]
      return [plain ? name : metricsPrefix + name, type]
    })
    t.same(Object.fromEntries(types), Object.fromEntries(expected))
  }
})

/** `OCTAVO_UPDATE_DOCS=1` writes the table instead. */
t.test('docs/metrics.md has the table of these metrics', async t => {
  const file = path.join(packageRoot(), 'docs', 'metrics.md')
  const [, before, table, after] = /^([\s\S]*<!-- metrics -->\n)([\s\S]*)(\n<!-- end -->[\s\S]*)$/.exec(
    readFileSync(file, 'utf8')
  )!
  if (process.env.OCTAVO_UPDATE_DOCS) writeFileSync(file, `${before}${metricsTable()}${after}`)
  else t.equal(table, metricsTable())
})
