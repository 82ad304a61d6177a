/** The least that a Fastify route can cost: what `/health` is measured against. Run as a process of its own. */
import Fastify from 'fastify'

const app = Fastify()
app.get('/health', () => ({ status: 'ok' }))
const portFlag = process.argv.indexOf('--port')
await app.listen({ host: '127.0.0.1', port: Number(process.argv[portFlag + 1]) })
