import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import t from 'tap'
import {
  type DownloadProgress,
  ModelFileError,
  modelCacheDir,
  resolveModel
} from '../../src/models/download.js'

/** Above two of the downloader's chunks of 5 MiB, so that there is something to resume. */
const content = Buffer.alloc(12 * 2 ** 20, 'octavo')
content.write('GGUF')
const sha256 = createHash('sha256').update(content).digest('hex')

interface Seen {
  method: string
  url: string
  start: number
  ranged: boolean
}

type Behave = (request: IncomingMessage, response: ServerResponse, start: number, body: Buffer) => boolean

/** A file server with ranges; `behave` may answer in its place (returns true). */
async function fileServer(test: { teardown(close: () => void): void }, behave: Behave = () => false) {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? []
    const start = Number(from ?? 0)
    const end = to ? Number(to) + 1 : content.length
    const body = content.subarray(start, end)
    seen.push({ method: request.method!, url: request.url!, start, ranged: from !== undefined })
    if (behave(request, response, start, body)) return
    response.statusCode = from === undefined ? 200 : 206
    response.setHeader('accept-ranges', 'bytes')
    response.setHeader('content-length', body.length)
    if (from !== undefined) response.setHeader('content-range', `bytes ${start}-${end - 1}/${content.length}`)
    response.end(request.method === 'HEAD' ? undefined : body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  test.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

/** An address where nobody listens. */
async function closedOrigin(): Promise<string> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return `http://127.0.0.1:${port}`
}

const refuse =
  (status: number): Behave =>
  (_request, response) => {
    response.statusCode = status
    response.end()
    return true
  }

t.test('a download arrives whole, tells its progress, and needs no network the second time', async t => {
  const { origin, seen } = await fileServer(t)
  const cacheDir = t.testdir()
  const progress: DownloadProgress[] = []
  const onProgress = (step: DownloadProgress) => progress.push(step)
  const spec = `${origin}/some/folder/tiny.gguf#sha256=${sha256}`

  const file = await resolveModel(spec, { cacheDir, onProgress })
  t.equal(path.basename(file), 'tiny.gguf')
  t.ok(file.startsWith(cacheDir))
  t.ok(readFileSync(file).equals(content))
  t.match(progress.at(-1), { file: 'tiny.gguf', downloadedBytes: content.length, totalBytes: content.length })
  t.ok(progress.length > 2, `${progress.length} steps`)

  const requests = seen.length
  t.equal(await resolveModel(spec, { cacheDir }), file)
  t.equal(seen.length, requests, 'no further request')

  const other = await resolveModel(`${origin}/other/folder/tiny.gguf`, { cacheDir })
  t.not(other, file, 'the same name from elsewhere is another file')
})

t.test('a transfer that breaks off goes on where it was', async t => {
  let breaks = 2
  const { origin, seen } = await fileServer(t, (request, response, start, body) => {
    if (!request.headers.range || body.length < 2 ** 20 || breaks === 0) return false
    breaks--
    response.writeHead(206, {
      'accept-ranges': 'bytes',
      'content-length': body.length,
      'content-range': `bytes ${start}-${start + body.length - 1}/${content.length}`
    })
    response.write(body.subarray(0, 6 * 2 ** 20), () => response.destroy())
    return true
  })
  const file = await resolveModel(`${origin}/tiny.gguf`, { cacheDir: t.testdir() })
  t.ok(readFileSync(file).equals(content))
  t.equal(breaks, 0)
  t.ok(
    seen.some(request => request.start > 0),
    'the rest was asked for, not all again'
  )
})

t.test('a download that was stopped goes on at the next start', async t => {
  const lastChunk = 10 * 2 ** 20
  let silent = true
  const { origin, seen } = await fileServer(t, (request, response, start, body) => {
    if (!silent || !request.headers.range || start + body.length <= lastChunk) return false
    response.writeHead(206, {
      'content-length': body.length,
      'content-range': `bytes ${start}-${start + body.length - 1}/${content.length}`
    })
    // Nothing comes after the second of three chunks.
    response.write(body.subarray(0, Math.max(0, lastChunk - start)))
    return true
  })
  const cacheDir = t.testdir()
  const url = `${origin}/tiny.gguf`
  await t.rejects(resolveModel(url, { cacheDir, stallMs: 700 }), {
    name: 'ModelFileError',
    message: /nothing arrived for 1 s; start again to go on/
  })
  const kept = readdirSync(path.join(cacheDir, new URL(origin).host.replace(':', '_')))
  t.same(kept, ['tiny.gguf.ipull'], 'what arrived is kept, under a name that no model has')

  silent = false
  seen.length = 0
  const file = await resolveModel(url, { cacheDir })
  t.ok(readFileSync(file).equals(content))
  const ranges = seen.filter(request => request.ranged)
  t.ok(ranges.length > 0)
  t.same(
    ranges.filter(request => request.start < lastChunk),
    [],
    'only what was missing is asked for'
  )
  t.notOk(existsSync(`${file}.ipull`))
})

t.test('an aborted download says so and keeps what arrived', async t => {
  const { origin } = await fileServer(t, (request, response, start, body) => {
    if (!request.headers.range) return false
    response.writeHead(206, {
      'content-length': body.length,
      'content-range': `bytes ${start}-${start + body.length - 1}/${content.length}`
    })
    response.write(body.subarray(0, 100))
    return true
  })
  const stop = new AbortController()
  setTimeout(() => stop.abort(), 500)
  const cacheDir = t.testdir()
  await t.rejects(resolveModel(`${origin}/tiny.gguf`, { cacheDir, signal: stop.signal }), /download stopped/)
})

t.test('what cannot be had is one clear line, at once', async t => {
  const cacheDir = t.testdir()
  const missing = await fileServer(t, refuse(404))
  await t.rejects(
    resolveModel(`${missing.origin}/a.gguf`, { cacheDir }),
    /a\.gguf: not found \(status 404\)$/
  )
  const ill = await fileServer(t, refuse(503))
  await t.rejects(resolveModel(`${ill.origin}/a.gguf`, { cacheDir }), /status 503, try later$/)
  const gated = await fileServer(t, refuse(401))
  await t.rejects(resolveModel(`${gated.origin}/a.gguf`, { cacheDir }), /a gated model needs HF_TOKEN$/)
  const nobody = await closedOrigin()
  const offline = resolveModel(`${nobody}/a.gguf`, { cacheDir })
  await t.rejects(offline, /a\.gguf: cannot be reached \(ECONNREFUSED\); is there a network\?$/)
  const noHub = resolveModel('hf:owner/repo:Q4_K_M', { cacheDir, huggingFace: nobody })
  await t.rejects(noHub, /cannot be reached .*is there a network\?$/)
})

t.test('a file that is not what was promised is refused and removed', async t => {
  const { origin } = await fileServer(t)
  const cacheDir = t.testdir()
  const wrong = `${origin}/a.gguf#sha256=${'0'.repeat(64)}`
  await t.rejects(resolveModel(wrong, { cacheDir }), /does not have the expected checksum/)

  const page = await fileServer(t, (_request, response) => {
    response.end('<html>please log in</html>')
    return true
  })
  await t.rejects(resolveModel(`${page.origin}/b.gguf`, { cacheDir }), /is not a GGUF file/)

  const short = await fileServer(t, (request, response) => {
    if (request.method !== 'HEAD') return false
    response.setHeader('content-length', content.length + 5)
    response.end()
    return true
  })
  await t.rejects(resolveModel(`${short.origin}/c.gguf`, { cacheDir }), /has \d+ bytes instead of \d+/)

  const vast = await fileServer(t, (_request, response) => {
    response.setHeader('content-length', Number.MAX_SAFE_INTEGER)
    response.end()
    return true
  })
  await t.rejects(resolveModel(`${vast.origin}/d.gguf`, { cacheDir }), /has [\d.]+ GB left/)
  t.same(
    readdirSync(cacheDir, { recursive: true }).filter(name => String(name).endsWith('.gguf')),
    [],
    'nothing is left that a later start would take for a model'
  )
})

t.test('hf:owner/repo:quant asks the hub which file that is', async t => {
  const { origin, seen } = await fileServer(t, (request, response) => {
    if (!request.url!.includes('/manifests/')) return false
    response.end(JSON.stringify({ ggufFile: { rfilename: 'Tiny-Q8_0.gguf' } }))
    return true
  })
  const cacheDir = t.testdir()
  const file = await resolveModel('hf:someone/Tiny-GGUF:Q8_0', { cacheDir, huggingFace: origin })
  t.ok(readFileSync(file).equals(content))
  t.equal(seen[0]!.url, '/v2/someone/Tiny-GGUF/manifests/Q8_0')
  t.match(seen[1]!.url, '/someone/Tiny-GGUF/resolve/main/Tiny-Q8_0.gguf')
  const requests = seen.length
  t.equal(await resolveModel('hf:someone/Tiny-GGUF:Q8_0', { cacheDir, huggingFace: origin }), file)
  t.equal(seen.length, requests, 'no further request')
})

t.test('hf:owner/repo/file#branch, with the checksum that the hub tells', async t => {
  let told = sha256
  const { origin, seen } = await fileServer(t, (request, response) => {
    if (request.method !== 'HEAD' || !request.url!.startsWith('/someone')) return false
    response.writeHead(302, { location: '/cdn/tiny', 'x-linked-etag': `"${told}"` })
    response.end()
    return true
  })
  const spec = 'hf:someone/Tiny/folder/tiny.gguf#next'
  const file = await resolveModel(spec, { cacheDir: t.testdir(), huggingFace: origin })
  t.ok(readFileSync(file).equals(content))
  t.equal(seen[0]!.url, '/someone/Tiny/resolve/next/folder/tiny.gguf')
  told = 'f'.repeat(64)
  const other = path.join(t.testdirName, 'other')
  await t.rejects(resolveModel(spec, { cacheDir: other, huggingFace: origin }), /expected checksum/)
})

t.test('local paths', async t => {
  const folder = t.testdir({ 'text.gguf': 'Not one', 'empty.gguf': '', 'good.gguf': 'GGUF....', sub: {} })
  t.equal(await resolveModel(path.join(folder, 'good.gguf')), path.join(folder, 'good.gguf'))
  await t.rejects(resolveModel(path.join(folder, 'none.gguf')), /^model file not found: .*none.gguf$/)
  await t.rejects(resolveModel(path.join(folder, 'text.gguf')), /text\.gguf is not a GGUF file$/)
  await t.rejects(resolveModel(path.join(folder, 'empty.gguf')), /empty\.gguf is not a GGUF file$/)
  await t.rejects(resolveModel(path.join(folder, 'sub')), /is a folder/)
  for (const spec of ['hf:only-owner', 'ftp://host/a.gguf', 'http://']) {
    await t.rejects(resolveModel(spec), ModelFileError, spec)
  }
})

t.test('the cache folder follows the conventions of the system', async t => {
  t.equal(modelCacheDir({}, 'linux', '/home/a'), '/home/a/.cache/octavo/models')
  t.equal(modelCacheDir({ XDG_CACHE_HOME: '/x' }, 'linux', '/home/a'), '/x/octavo/models')
  t.equal(modelCacheDir({}, 'darwin', '/Users/a'), '/Users/a/Library/Caches/octavo/models')
  t.match(modelCacheDir({ LOCALAPPDATA: '/L' }, 'win32', '/a'), /^\/L.octavo.Cache.models$/)
})
