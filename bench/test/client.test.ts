import http from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { assertWhole, type Endpoint, fetchText, firstTokenMs, flaw, stream } from '../support/client.js'

/** A server that answers every chat request by `answer`. */
async function serve(t: Test, answer: (response: http.ServerResponse) => unknown): Promise<Endpoint> {
  const server = http.createServer((request, response) => {
    request.resume()
    request.on('end', () => void answer(response))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

const ask = { messages: [{ role: 'user' as const, content: 'x' }], tokens: 3 }

const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`
const content = (text: string) => event({ choices: [{ delta: { content: text }, finish_reason: null }] })
const whole = [
  event({ choices: [{ delta: { role: 'assistant', content: '' }, finish_reason: null }] }),
  content('é'),
  ': keep-alive\n\n',
  event({ choices: [{ delta: { reasoning_content: 'b' }, finish_reason: null }] }),
  content('c'),
  event({ choices: [{ delta: {}, finish_reason: 'length' }] }),
  event({
    choices: [],
    usage: { prompt_tokens: 7, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 5 } }
  }),
  'data: [DONE]\n\n'
].join('')

t.test('arguments of a tool call are text, and further members go into the body', async t => {
  const call = (delta: object) => event({ choices: [{ delta: { tool_calls: [{ index: 0, ...delta }] } }] })
  let asked: Record<string, unknown> = {}
  const server = http.createServer(async (request, response) => {
    let body = ''
    for await (const piece of request) body += piece
    asked = JSON.parse(body)
    response.end(
      call({ id: 'x', function: { name: 'save', arguments: '' } }) +
        call({ function: { arguments: '{"a"' } }) +
        call({ function: { arguments: ':1}' } })
    )
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const endpoint = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  const result = await stream(endpoint, { ...ask, body: { tool_choice: 'required' } })
  t.match(result, { text: '{"a":1}', arrivals: { length: 2 } })
  t.match(asked, { tool_choice: 'required', max_tokens: 3 })
})

t.test('reads a stream, also when it arrives byte by byte', async t => {
  for (const size of [1, 7, 100_000]) {
    const endpoint = await serve(t, async response => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const bytes = Buffer.from(whole)
      for (let at = 0; at < bytes.length; at += size) {
        response.write(bytes.subarray(at, at + size))
        await new Promise(resolve => setImmediate(resolve))
      }
      response.end()
    })
    const result = await stream(endpoint, ask)
    t.match(result, {
      status: 200,
      text: 'ébc',
      promptTokens: 7,
      completionTokens: 3,
      cachedTokens: 5,
      finishReason: 'length',
      done: true,
      aborted: false,
      error: null
    })
    t.equal(result.arrivals.length, 3, 'the role is not a token')
    t.ok(firstTokenMs(result) >= 0)
    t.ok(result.endedAt >= result.arrivals[2]!)
    t.equal(flaw(result, 3), null)
  }
})

t.test('tells what is wrong', async t => {
  const cases: Array<[string, RegExp, (response: http.ServerResponse) => void]> = [
    ['a short answer', /3 tokens instead of 4/, response => response.end(whole)],
    ['no [DONE]', /without \[DONE\]/, response => response.end(whole.replace('data: [DONE]\n\n', ''))],
    [
      'no text',
      /empty answer/,
      response => response.end(whole.replace(/"(content|reasoning_content)":"[^"]+"/g, '"x":1'))
    ],
    [
      'an error event',
      /pool on fire/,
      response => response.end(`${event({ error: { message: 'pool on fire' } })}${whole}`)
    ],
    ['not JSON', /not JSON/, response => response.end(`data: {\n\n${whole}`)],
    ['another end', /finish_reason stop/, response => response.end(whole.replace('"length"', '"stop"'))],
    [
      'a cut connection',
      /status 200: /,
      response => {
        response.write(content('a'))
        setTimeout(() => response.destroy(), 20)
      }
    ],
    ['no reply', /status 0: /, response => response.destroy()],
    [
      'a refusal',
      /status 429: .*busy/,
      response => {
        response.writeHead(429, { 'retry-after': '2' })
        response.end('{"error":{"message":"busy"}}')
      }
    ]
  ]
  for (const [name, expected, answer] of cases) {
    const endpoint = await serve(t, answer)
    const result = await stream(endpoint, ask)
    const tokens = name === 'a short answer' ? 4 : 3
    t.match(flaw(result, tokens), expected, name)
    t.throws(() => assertWhole([result], tokens, 'it'), { message: expected }, name)
  }
})

t.test('hangs up when told to', async t => {
  let gone = 0
  const endpoint = await serve(t, response => {
    response.on('close', () => gone++)
    response.write(content('a'))
    setTimeout(() => response.write(content('b')), 10)
  })
  const counted = await stream(endpoint, { ...ask, onContent: events => events === 2 })
  t.match(counted, { aborted: true, error: null, text: 'ab' })
  const leave = new AbortController()
  setTimeout(() => leave.abort(), 30)
  const left = await stream(endpoint, { ...ask, signal: leave.signal })
  t.match(left, { aborted: true, error: null })
  const never = await stream(endpoint, { ...ask, signal: AbortSignal.abort() })
  t.match(never, { aborted: true, error: null, status: 0 })
  while (gone < 2) await new Promise(resolve => setTimeout(resolve, 5))
})

t.test('asks again when a kept connection was closed meanwhile', async t => {
  let answered = 0
  const endpoint = await serve(t, response => {
    answered++
    response.end(whole)
    // The client takes the connection for kept; it is cut before its next request is read.
    setImmediate(() => response.socket?.resetAndDestroy())
  })
  for (let i = 0; i < 20; i++) assertWhole([await stream(endpoint, ask)], 3, 'it')
  t.ok(answered >= 20)
  const reply = await fetchText(endpoint, '/health')
  t.equal(reply.status, 200)
  t.ok(reply.ms >= 0)
})
