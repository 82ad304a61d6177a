import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/root.js'
import { realServer } from '../support/real-server.js'
import { octavo } from './octavo.js'

const post = (url: string, body: object) =>
  fetch(`${url}/v1/embeddings`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' }
  })

t.test('none: the route says what to do', async t => {
  const { url } = await realServer(t, ['--embedding-model', 'none'])
  const reply = await post(url, { input: 'x' })
  t.equal(reply.status, 400)
  t.match(await reply.json(), { error: { code: 'unsupported_value', message: /--embedding-model/ } })
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: unknown[] }
  t.equal(data.length, 1)
})

t.test('a model that makes no vectors, and one that is not there, end the start with one line', async t => {
  const chat = path.join(packageRoot(), 'models', 'MiniMind2-Small-26M-q8_0.gguf')
  for (const [file, words] of [
    [chat, /--embedding-model: .* is not an embedding model/],
    ['/nowhere.gguf', /model file not found: \/nowhere\.gguf/]
  ] as const) {
    const server = octavo(t, ['serve', '--port', '0', '--embedding-model', file])
    t.strictSame(await server.ended, [1, null])
    t.match(server.stderr(), words)
    t.equal(server.stderr().trim().split('\n').length, 1)
  }
})

t.test('its process ends with the server', async t => {
  const { url, child, ended } = await realServer(t)
  t.equal((await post(url, { input: 'x' })).status, 200)
  const children = childrenOf(child.pid as number)
  if (children !== null) t.equal(children.length, 2, 'an engine and the embedding process')
  child.kill('SIGTERM')
  t.strictSame(await ended, [0, null])
  for (const pid of children ?? []) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

/** Null where /proc does not tell. */
function childrenOf(parent: number): number[] | null {
  if (process.platform !== 'linux') return null
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  return pids.map(Number).filter(pid => {
    try {
      // pid (name) state parent ...
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')
      return Number(fields?.[1]) === parent
    } catch {
      return false
    }
  })
}
