import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { build, hello } from './helper.js'

interface Operation {
  summary?: string
  tags?: string[]
  requestBody?: { content: Record<string, { schema: object }> }
  responses: Record<string, { description: string; content: Record<string, unknown> }>
}

interface Document {
  openapi: string
  paths: Record<string, Record<string, Operation>>
}

t.test('the description of the API', async t => {
  const { app } = await build(t)
  const reply = await app.inject('/openapi.json')
  t.equal(reply.statusCode, 200)
  const document: Document = reply.json()
  t.equal(document.openapi, '3.1.0')

  t.test('has every route once, and each says what it is', async t => {
    const wanted = [
      'post /v1/chat/completions',
      'post /v1/completions',
      'post /v1/embeddings',
      'post /v1/rerank',
      'post /v1/responses',
      'post /v1/messages',
      'post /v1/messages/count_tokens',
      'get /v1/models',
      'get /v1/models/{id}',
      'post /tokenize',
      'post /detokenize',
      'post /apply-template',
      'get /props',
      'get /health'
    ]
    for (const name of wanted) {
      const [method, path] = name.split(' ') as [string, string]
      const operation = document.paths[path]?.[method]
      t.ok(operation?.summary, name)
      t.equal(operation?.tags?.length, 1, name)
      for (const status of ['200', '4XX', '5XX']) t.ok(operation?.responses[status]?.description, name)
    }
    t.notOk(document.paths['/models'], 'no aliases')
    for (const [path, operations] of Object.entries(document.paths)) {
      t.strictSame(
        Object.keys(operations).filter(method => ['put', 'patch', 'head', 'options'].includes(method)),
        [],
        `${path}: no routes that refuse`
      )
    }
  })

  t.test('the schemas of bodies are schemas, and say what the server does', async t => {
    const ajv = new Ajv2020({ strict: false, discriminator: true })
    const bodies = Object.entries(document.paths).flatMap(([path, { post }]) => {
      const schema = post?.requestBody?.content['application/json']?.schema
      return schema ? [[path, ajv.compile(schema)] as const] : []
    })
    t.ok(bodies.length >= 8)
    const chat = new Map(bodies).get('/v1/chat/completions')
    t.equal(chat?.(hello), true)
    t.equal(chat?.({ ...hello, temperature: 3 }), false)
    t.equal(chat?.({ ...hello, stop: null, seed: 5 }), true)
    t.equal(chat?.({ messages: [{ role: 'user', content: 5 }] }), false)
  })

  t.test('streaming routes say so', async t => {
    for (const path of ['/v1/chat/completions', '/v1/completions']) {
      const { content } = document.paths[path]?.post?.responses['200'] ?? {}
      t.strictSame(Object.keys(content ?? {}), ['application/json', 'text/event-stream'])
    }
  })
})

t.test('a page that shows it, with all that it needs', async t => {
  const { app } = await build(t, { apiKeys: ['secret'] })
  const page = await app.inject('/docs')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /text\/html/)
  const links = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link as string)
  t.ok(links.length >= 4)
  for (const link of links) {
    t.match(link, /^\/docs\//, 'from this server')
    t.equal((await app.inject(link)).statusCode, 200, link)
  }
  t.notMatch(page.headers['content-security-policy'], /http/)
  t.equal((await app.inject('/docs/json')).statusCode, 200)
  t.equal((await app.inject('/openapi.json')).statusCode, 200, 'without a key')
  t.equal((await app.inject('/v1/models')).statusCode, 401)
})
