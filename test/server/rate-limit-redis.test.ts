/** The rate limit with a Redis that is one: runs where redis-server is on the PATH and ioredis is installed. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { freePort } from '../../bench/support/server.js'
import { build } from './helper.js'

const program = spawnSync('redis-server', ['--version']).status === 0
const client = await import('ioredis' as string).then(
  () => true,
  () => false
)
const skip = !program ? 'redis-server is not on the PATH' : !client ? 'ioredis is not installed' : false

async function startRedis(t: Test): Promise<{ url: string; end(): Promise<void> }> {
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const child: ChildProcess = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = once(child, 'exit')
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise<void>(resolve => {
    let text = ''
    child.stdout!.setEncoding('utf8').on('data', (more: string) => {
      text += more
      if (/ready to accept connections/i.test(text)) resolve()
    })
  })
  return {
    url: `redis://127.0.0.1:${port}`,
    async end() {
      child.kill('SIGTERM')
      await ended
    }
  }
}

t.test('two servers count together in a real Redis, and refuse nobody when it is gone', { skip }, async t => {
  const redis = await startRedis(t)
  const options = { rateLimit: 4, rateLimitRedis: redis.url }
  const warnings: string[] = []
  const servers = [await build(t, options), await build(t, options)]
  for (const { app } of servers) {
    app.log.warn = ((_error: object, message: string) =>
      warnings.push(message)) as unknown as typeof app.log.warn
  }
  const ask = async (server: number) => servers[server]!.app.inject({ method: 'GET', url: '/v1/models' })
  // The client connects when it is made, and is asked for nothing before that.
  for (let i = 0; i < 100 && (await ask(0)).headers['x-ratelimit-limit'] === undefined; i++)
    await new Promise(resolve => setTimeout(resolve, 20))
  const left: number[] = []
  const statuses: number[] = []
  for (const server of [1, 0, 1, 0]) {
    const { statusCode, headers } = await ask(server)
    statuses.push(statusCode)
    left.push(Number(headers['x-ratelimit-remaining']))
  }
  t.same(statuses, [200, 200, 200, 429], 'one was counted before')
  t.same(left, [2, 1, 0, 0])
  const refused = await ask(1)
  t.equal(refused.statusCode, 429, 'by either')
  t.equal(refused.json().error.code, 'rate_limit_exceeded')
  t.ok(Number(refused.headers['retry-after-ms']) > 0)
  t.equal((await servers[0]!.app.inject('/health')).statusCode, 200, 'health is exempt')
  await redis.end()
  t.equal((await ask(0)).statusCode, 200, 'without Redis nobody is refused')
  await new Promise(resolve => setTimeout(resolve, 500))
  t.equal(warnings.length, 2, 'each server says so once')
})
