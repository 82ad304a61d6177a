/**
 * From what `--model` says to a file on this machine. node-llama-cpp's downloader does the transfer (several
 * connections, split files, resume from its `.ipull` file); around it: one clear line instead of its minutes of
 * retries when there is no network, a stall limit, and a check of what arrived.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, mkdir, open, rm, stat, statfs } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

export interface DownloadProgress {
  file: string
  downloadedBytes: number
  totalBytes: number
  /** Infinity while unknown. */
  secondsLeft: number
}

export interface ResolveOptions {
  /** Where downloads are kept; `modelCacheDir()` by default. */
  cacheDir?: string
  onProgress?: (progress: DownloadProgress) => void
  /** Stops a download; what has arrived is kept for the next time. */
  signal?: AbortSignal
  /** A mirror of huggingface.co. */
  huggingFace?: string
  /** Give up when nothing arrived for this long. */
  stallMs?: number
}

/** The model file cannot be had; the message is one line for the person who started the server. */
export class ModelFileError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ModelFileError'
  }
}

/** The folder for downloads that the conventions of the system give: XDG, `~/Library/Caches`, `%LOCALAPPDATA%`. */
export function modelCacheDir(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = os.homedir()
): string {
  if (platform === 'darwin') return path.join(home, 'Library', 'Caches', 'octavo', 'models')
  if (platform === 'win32') {
    return path.join(env.LOCALAPPDATA || path.join(home, 'AppData', 'Local'), 'octavo', 'Cache', 'models')
  }
  return path.join(env.XDG_CACHE_HOME || path.join(home, '.cache'), 'octavo', 'models')
}

/**
 * The path of the GGUF file for a local path, `hf:owner/repo:quant`, `hf:owner/repo/file.gguf#branch` or an http(s)
 * URL (`#sha256=<hex>` after it has the file checked). Downloads what is not there yet; needs no network otherwise.
 * @throws ModelFileError
 */
export async function resolveModel(spec: string, options: ResolveOptions = {}): Promise<string> {
  const source = parseSource(spec, options.huggingFace)
  const file = source === null ? path.resolve(spec) : await fetchOnce(source, options)
  await checkGguf(file)
  return file
}

interface Source {
  /** What the downloader is given. */
  uri: string
  /** Null when only Hugging Face knows it (a quantization instead of a file). */
  url: URL | null
  /** Folder below the cache folder, and the name of the file there (undefined: the downloader's own). */
  folder: string
  fileName: string | undefined
  sha256: string | undefined
  /** The downloader joins `model.gguf.part1of9` and so on: what the server says about the first is not about the file. */
  inParts: boolean
}

const binaryPart = /\.gguf\.part-?\d+of\d+$/i

/** Null for a local path. */
function parseSource(spec: string, huggingFace = 'https://huggingface.co'): Source | null {
  if (/^(hf|huggingface):/.test(spec)) {
    const [owner, repo, ...rest] = spec
      .slice(spec.indexOf(':') + 1)
      .replace(/^\/\//, '')
      .split('/')
    if (!owner || !repo)
      throw new ModelFileError(`${spec}: should be hf:owner/repo:quant or hf:owner/repo/file.gguf`)
    if (rest.length === 0) {
      return {
        uri: `hf:${owner}/${repo}`,
        url: null,
        folder: 'huggingface',
        fileName: undefined,
        sha256: undefined,
        inParts: false
      }
    }
    const [file, branch = 'main'] = rest.join('/').split('#')
    return urlSource(
      new URL(`${owner}/${repo}/resolve/${branch}/${file}`, `${huggingFace.replace(/\/$/, '')}/`)
    )
  }
  if (/^https?:\/\//i.test(spec)) {
    if (!URL.canParse(spec)) throw new ModelFileError(`${spec}: not a valid URL`)
    return urlSource(new URL(spec))
  }
  if (/^[a-z]{2,}:\/\//i.test(spec)) {
    throw new ModelFileError(`${spec}: a model is a file, an http(s) URL or hf:owner/repo:quant`)
  }
  return null
}

function urlSource(url: URL): Source {
  const sha256 = /^#sha256=([0-9a-f]{64})$/i.exec(url.hash)?.[1]?.toLowerCase()
  url.hash = ''
  const folders = url.pathname.split('/').map(part => decodeURIComponent(part).replace(/[^\w.-]|^\.+$/g, '_'))
  const named = folders.pop() || 'model'
  const last = named.replace(binaryPart, '.gguf')
  const query = createHash('sha256').update(url.search).digest('hex').slice(0, 8)
  return {
    uri: url.href,
    url,
    folder: path.join(url.host.replace(':', '_'), ...folders),
    // A name without .gguf says little (`/download?id=7`): the query is part of what tells files apart.
    fileName: last.toLowerCase().endsWith('.gguf') ? last : `${last}-${query}.gguf`,
    sha256,
    inParts: last !== named
  }
}

async function fetchOnce(source: Source, options: ResolveOptions): Promise<string> {
  const directory = path.join(options.cacheDir ?? modelCacheDir(), source.folder)
  const endpoints = options.huggingFace ? { huggingFace: options.huggingFace } : undefined
  // Costs 300 ms: only who downloads pays.
  const { resolveModelFile } = await import('node-llama-cpp')
  const known = { directory, fileName: source.fileName, cli: false, endpoints }
  const present = await resolveModelFile(source.uri, { ...known, download: false }).catch(() => undefined)
  if (present) return present

  const remote = source.url ? await look(source.url) : {}
  await mkdir(directory, { recursive: true })
  await checkSpace(directory, remote.bytes)
  const file = await transfer(source, directory, endpoints, options)
  await verify(file, source.inParts ? {} : { ...remote, sha256: source.sha256 ?? remote.sha256 })
  return file
}

interface Remote {
  bytes?: number
  sha256?: string
}

/** Asks for the file before the downloader does, which would retry for ten minutes. */
async function look(url: URL): Promise<Remote> {
  const signal = AbortSignal.timeout(15_000)
  try {
    let response = await fetch(url, { method: 'HEAD', redirect: 'manual', signal })
    // Hugging Face answers with a redirect that carries the checksum of what it leads to.
    const linked = response.headers.get('x-linked-etag')?.replaceAll('"', '')
    if (response.status >= 300 && response.status < 400)
      response = await fetch(url, { method: 'HEAD', signal })
    const { status } = response
    if (status === 404 || status === 410)
      throw new ModelFileError(`${url.href}: not found (status ${status})`)
    if (status >= 500)
      throw new ModelFileError(`${url.href}: the server answers with status ${status}, try later`)
    // Other refusals may be about HEAD, or want the token that the downloader finds: let it try.
    const bytes =
      response.ok && !response.headers.has('content-encoding') ? response.headers.get('content-length') : null
    return {
      bytes: bytes === null ? undefined : Number(bytes),
      sha256: linked && /^[0-9a-f]{64}$/.test(linked) ? linked : undefined
    }
  } catch (error) {
    throw explain(error, url.href)
  }
}

async function transfer(
  source: Source,
  directory: string,
  endpoints: { huggingFace: string } | undefined,
  options: ResolveOptions
): Promise<string> {
  const { createModelDownloader } = await import('node-llama-cpp')
  const stall = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stall.signal]) : stall.signal
  const stallMs = options.stallMs ?? 60_000
  let timer = setTimeout(() => stall.abort(), stallMs)
  let arrived = -1
  let name = ''
  try {
    const created = createModelDownloader({
      modelUri: source.uri,
      dirPath: directory,
      fileName: source.fileName,
      deleteTempFileOnCancel: false,
      endpoints,
      onProgress: ({ downloadedSize, totalSize, estimatedTimeLeft }) => {
        if (downloadedSize > arrived) {
          arrived = downloadedSize
          clearTimeout(timer)
          timer = setTimeout(() => stall.abort(), stallMs)
        }
        options.onProgress?.({
          file: name,
          downloadedBytes: downloadedSize,
          totalBytes: totalSize,
          secondsLeft: estimatedTimeLeft / 1000
        })
      }
    })
    const downloader = await unlessAborted(created, signal)
    name = downloader.entrypointFilename
    const file = await downloader.download({ signal })
    // A cancelled download returns as if it had finished.
    signal.throwIfAborted()
    return file
  } catch (error) {
    if (options.signal?.aborted)
      throw new ModelFileError('download stopped; start again to go on where it was')
    if (stall.signal.aborted) {
      throw new ModelFileError(
        `${source.uri}: nothing arrived for ${Math.round(stallMs / 1000)} s; start again to go on where it was`
      )
    }
    throw explain(error, source.uri)
  } finally {
    clearTimeout(timer)
  }
}

/** The downloader asks about the file with retries that know no signal. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  return Promise.race([work, aborted])
}

async function checkSpace(directory: string, bytes: number | undefined): Promise<void> {
  if (bytes === undefined) return
  const { bavail, bsize } = await statfs(directory)
  if (bytes > bavail * bsize) {
    const [needed, free] = [bytes, bavail * bsize].map(count => `${(count / 1e9).toFixed(1)} GB`)
    throw new ModelFileError(`the model takes ${needed}, but ${directory} has ${free} left`)
  }
}

/** A file that is not what was promised is removed, so that the next start fetches it anew. */
async function verify(file: string, { bytes, sha256 }: Remote): Promise<void> {
  let problem: string | undefined
  const { size } = await stat(file)
  if (bytes !== undefined && size !== bytes) problem = `has ${size} bytes instead of ${bytes}`
  else if (sha256 !== undefined && (await hash(file)) !== sha256)
    problem = 'does not have the expected checksum'
  else if (!(await hasMagic(file))) problem = 'is not a GGUF file'
  if (problem === undefined) return
  await rm(file)
  throw new ModelFileError(`what was downloaded ${problem}, it has been removed: ${path.basename(file)}`)
}

async function hash(file: string): Promise<string> {
  const digest = createHash('sha256')
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) digest.update(chunk)
  return digest.digest('hex')
}

async function checkGguf(file: string): Promise<void> {
  try {
    await access(file)
    if ((await stat(file)).isDirectory()) throw new ModelFileError(`${file} is a folder, not a GGUF file`)
    if (!(await hasMagic(file))) throw new ModelFileError(`${file} is not a GGUF file`)
  } catch (error) {
    if (error instanceof ModelFileError) throw error
    const { code } = error as NodeJS.ErrnoException
    throw new ModelFileError(
      code === 'ENOENT' ? `model file not found: ${file}` : `cannot read ${file} (${code})`
    )
  }
}

async function hasMagic(file: string): Promise<boolean> {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0)
    return bytesRead === 4 && buffer.toString('latin1') === 'GGUF'
  } finally {
    await handle.close()
  }
}

/** One line about a failed transfer: what could not be reached, and why. */
function explain(error: unknown, uri: string): ModelFileError {
  if (error instanceof ModelFileError) return error
  const { message, cause, name, statusCode } = error as Error & {
    cause?: Error & { code?: string }
    statusCode?: number
  }
  if (statusCode === 401 || statusCode === 403) {
    return new ModelFileError(`${uri}: access refused (status ${statusCode}); a gated model needs HF_TOKEN`)
  }
  if (statusCode !== undefined)
    return new ModelFileError(`${uri}: the server answers with status ${statusCode}`)
  if (name === 'TimeoutError') return new ModelFileError(`${uri}: no answer within 15 s; is there a network?`)
  if (cause?.code || /fetch failed/.test(message)) {
    return new ModelFileError(
      `${uri}: cannot be reached (${cause?.code ?? 'no connection'}); is there a network?`
    )
  }
  return new ModelFileError(`${uri}: ${message.split('\n')[0]}`)
}
