import { pino } from 'pino'
import t from 'tap'
import { startServer } from '../../src/server/server.js'
import { until } from '../models/helpers.js'
import { fakeModels } from './fake-engine.js'
import { defaultOptions } from './helper.js'

/** What is logged for a chat. */
async function logged(options: { logPrompts?: boolean; apiKeys?: string[] }, body: object) {
  const lines: string[] = []
  const logger = pino({ level: 'info' }, { write: line => lines.push(line) })
  const config = { ...defaultOptions, ...options }
  const { app, address } = await startServer({ models: fakeModels(), config, logger, port: 0 })
  const reply = await fetch(`${address}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer opensesame', 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
  const answer = await reply.text()
  const find = () => lines.map(line => JSON.parse(line)).find(({ msg }) => msg === 'request')
  await until('it is logged', () => find() !== undefined)
  await app.close()
  return { record: find(), text: lines.join(''), answer }
}

const question = { messages: [{ role: 'user', content: 'a secret question' }] }

t.test('what is asked and answered is not in the log', async t => {
  const { record, text, answer } = await logged({}, question)
  t.match(record, { status: 200, method: 'POST', prompt: Number, generated: Number, ms: Number })
  t.equal(record.failed, undefined)
  t.notMatch(text, /secret question/)
  t.notOk(text.includes(JSON.parse(answer).choices[0].message.content))
})

t.test('unless the operator wants to see what is asked', async t => {
  const { record, text, answer } = await logged({ logPrompts: true, apiKeys: ['opensesame'] }, question)
  t.same(JSON.parse(record.body), question)
  t.notMatch(text, /opensesame/)
  t.notOk(text.includes(JSON.parse(answer).choices[0].message.content))
  const long = { messages: [{ role: 'user', content: 'x'.repeat(100_000) }] }
  t.equal((await logged({ logPrompts: true }, long)).record.body.length, 32_000)
})

t.test('what went wrong is', async t => {
  const { record } = await logged({}, { ...question, top_logprobs: 3 })
  t.match(record, { status: 400, failed: 'invalid_value' })
})
