import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { total } from '../server/metrics/exposition.js'
import { ask, long, prompt, StressServer, Tally } from './server.js'

const MIB = 2 ** 20
const deafClients = long ? 6 : 3

/** Every chunk of a stream has it: the buffers of the operating system fill within some hundred tokens. */
const longName = 'x'.repeat(16_384)

/** Asks for a long stream and never reads a byte of it. */
async function deaf(server: StressServer, key: string): Promise<Socket> {
  const socket = connect({ host: server.host, port: server.port })
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.pause()
  const body = JSON.stringify({
    messages: [{ role: 'user', content: prompt(key, 20) }],
    stream: true,
    max_tokens: 8000,
    ignore_eos: true
  })
  const head = ['POST /v1/chat/completions HTTP/1.1', 'host: localhost', 'content-type: application/json']
  socket.write([...head, `content-length: ${Buffer.byteLength(body)}`, '', body].join('\r\n'))
  return socket
}

t.test('clients that never read hold nobody up, and are ended', async t => {
  const server = await StressServer.start(t, [
    ...['--ctx-size', '32768', '--parallel', '8'],
    ...['--slow-client-timeout', '3', '--alias', longName]
  ])
  const warm = new Tally()
  warm.add(await ask(server, 'warm', { words: 20, tokens: 64 }), 64)
  const memory = (await server.stats()).memory.rss
  const sockets = await Promise.all(Array.from({ length: deafClients }, (_, i) => deaf(server, `deaf ${i}`)))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })

  let most = 0
  let ended = 0
  const until = performance.now() + 120_000
  for (let i = 0; ended < deafClients && performance.now() < until; i++) {
    warm.add(await ask(server, `beside ${i}`, { words: 20, tokens: 16 }), 16)
    most = Math.max(most, (await server.stats()).memory.rss)
    ended = total(await server.metrics(), 'octavo_slow_clients_total')
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  t.equal(ended, deafClients, 'all were ended')
  t.same(warm.wrong, [], 'others were served meanwhile')
  t.equal(await server.settled(), null, 'their cells are free')
  const growth = (most - memory) / MIB
  t.ok(growth < 100, `the server grew by ${Math.round(growth)} MiB meanwhile`)
  const generated = total(await server.metrics(), 'octavo_generation_tokens_total')
  t.ok(generated < deafClients * 8000, `${generated} tokens: none of the answers was computed to its end`)
})
