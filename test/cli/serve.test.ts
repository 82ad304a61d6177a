import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { octavo } from './octavo.js'

const body = (text: string, more: object = {}) =>
  JSON.stringify({ messages: [{ role: 'user', content: text }], temperature: 0, ...more })
const post = (address: string, content: string) =>
  fetch(`${address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer secret' },
    body: content
  })

/** Ready for requests; the address is in the record that says so. */
async function started(test: Parameters<typeof octavo>[0], args: string[] = [], env: NodeJS.ProcessEnv = {}) {
  const server = octavo(test, ['serve', '--port', '0', ...args], env)
  const ready = JSON.parse(await server.line(/"msg":"ready"/))
  return { ...server, ready, address: ready.address as string }
}

t.test('serves the model of the package, and ends with 0 at SIGTERM', async t => {
  const server = await started(t, ['--alias', 'tiny,*'], { OCTAVO_API_KEY: 'secret' })
  t.match(server.ready, {
    name: 'tiny',
    architecture: 'llama',
    device: 'CPU',
    threads: 1,
    parallel: 8,
    keyed: true,
    // One of the library's 256 passes between pool and lanes.
    pool: { cells: 4096, sequenceIds: 255 }
  })
  t.match(server.stderr(), /loading tiny: \d+ %\n/, 'progress in plain lines where there is no terminal')
  const answer = await post(server.address, body('Hello', { max_tokens: 4, model: 'whatever' }))
  t.equal(answer.status, 200)
  t.match(await answer.json(), { model: 'tiny' })
  t.equal((await fetch(`${server.address}/v1/models`)).status, 401, 'the key is asked for')

  server.child.kill('SIGTERM')
  t.same(await server.ended, [0, null])
  t.match(server.stdout(), /"msg":"drained"/)
})

t.test('the banner says what a person needs to know', async t => {
  const server = octavo(t, ['--port', '0', '--log-format', 'pretty'])
  await server.line(/base URL/)
  const text = server.stdout()
  t.match(text, /Octavo \d+\.\d+\.\d+ is ready at http:\/\/127\.0\.0\.1:\d+/)
  t.match(text, /MiniMind2-Small-26M-q8_0 \(llama, 29M parameters, 30 MiB\)/)
  t.match(text, /64 blocks of 64 = 4,096 tokens, 16 MiB, 255 sequence ids/)
  t.match(text, /8 streams at once, up to 4,096 tokens each/)
  t.match(text, /device +CPU, 1 CPU thread\n/)
  t.match(text, /curl http:.*\/v1\/chat\/completions/)
  server.child.kill('SIGINT')
  t.same(await server.ended, [0, null])
})

t.test('a running answer may finish after SIGTERM', async t => {
  const server = await started(t)
  const answer = await post(
    server.address,
    body('Tell a story', { max_tokens: 200, ignore_eos: true, stream: true })
  )
  server.child.kill('SIGTERM')
  const text = await answer.text()
  t.match(text, /"finish_reason":"length"/)
  t.match(text, /data: \[DONE\]\n\n$/)
  t.same(await server.ended, [0, null])
  t.match(server.stdout(), /"finished":1,"aborted":0/)
})

t.test('a second signal ends running answers with an error', async t => {
  const server = await started(t)
  const answer = await post(
    server.address,
    body('Tell a story', { max_tokens: 4000, ignore_eos: true, stream: true })
  )
  const reader = answer.body!.getReader()
  await reader.read()
  server.child.kill('SIGTERM')
  await server.line(/"msg":"draining"/)
  server.child.kill('SIGINT')
  await setTimeout(400)
  t.notMatch(
    server.stdout(),
    /"msg":"drained"/,
    'the same signal twice at once (from npm and the terminal) is one'
  )
  const before = Date.now()
  server.child.kill('SIGTERM')
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    text += Buffer.from(value).toString()
  }
  t.match(text, /data: \{"error":/)
  t.notMatch(text, /\[DONE\]/)
  t.same(await server.ended, [0, null])
  t.ok(Date.now() - before < 4000, `${Date.now() - before} ms`)
})

t.test('a signal while the model loads ends it as well', async t => {
  const server = octavo(t, ['--port', '0'])
  const loading = new Promise(resolve => server.child.stderr!.once('data', resolve))
  await Promise.race([loading, server.ended])
  server.child.kill('SIGINT')
  t.same(await server.ended, [0, null])
})

t.test(
  'npm start: the server ends when only its shell is told to',
  { skip: process.platform === 'win32' },
  async t => {
    const npm = { npm_lifecycle_event: 'start', npm_package_name: 'octavo' }
    // A shell that stays, as npm's does where it does not replace itself by its last command.
    const through = ['/bin/sh', '-c', '"$@"; exit', 'sh']
    const server = octavo(t, ['serve', '--port', '0'], npm, { through })
    const { address } = JSON.parse(await server.line(/"msg":"ready"/))
    server.child.kill('SIGTERM')
    // Its output is closed when the last process that has it is gone.
    await server.ended
    t.match(server.stdout(), /"msg":"drained"/)
    await t.rejects(fetch(`${address}/health`))
  }
)
