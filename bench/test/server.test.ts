import t from 'tap'
import { fetchText } from '../support/client.js'
import { bareFastify } from '../support/health.js'
import { readPool } from '../support/pool.js'
import { startProbe } from '../support/probe.js'
import { startServer, withServer } from '../support/server.js'

t.test('starts, probes and ends a server', async t => {
  const server = await startServer(bareFastify)
  t.teardown(() => server.stop('SIGKILL'))
  t.equal((await fetchText(server, '/health')).status, 200)
  t.equal((await fetchText(server, '/nothing')).status, 404)
  const [root] = await server.memory()
  t.equal(root?.pid, server.pid)
  t.ok(root!.rss > 10 * 2 ** 20)
  t.equal(await readPool(server), null)

  const targets = [
    { name: 'there', host: server.host, port: server.port, path: '/health' },
    { name: 'not there', host: server.host, port: server.port, path: '/nothing' }
  ]
  const probe = startProbe(targets, 1)
  await new Promise(resolve => setTimeout(resolve, 2000))
  const [there, not] = await probe.stop()
  t.ok(there!.count > 0 && there!.errors === 0 && there!.p99 >= there!.p50)
  t.ok(not!.count === 0 && not!.errors > 0)

  t.equal(server.exit(), null)
  await server.stop()
  t.not(server.exit(), null)
  t.same(await server.memory(), [])
})

t.test('says why a server did not start', async t => {
  const noisy = {
    name: 'it',
    file: process.execPath,
    args: ['-e', 'console.error("no model"); process.exit(3)', '--']
  }
  await t.rejects(startServer(noisy), /it did not start: \s*no model/)
  await t.rejects(
    startServer({ name: 'it', file: '/nowhere/server', args: [] }),
    /it did not start: .*ENOENT/
  )
})

t.test('says when a server died under a benchmark', async t => {
  const use = withServer({ ...bareFastify, name: 'it' }, async server => {
    process.kill(server.pid, 'SIGKILL')
    await fetchText(server, '/health')
  })
  await t.rejects(use, /it ended \(SIGKILL\)/)
})
