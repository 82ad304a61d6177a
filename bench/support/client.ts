/**
 * A streaming chat client that costs little: benchmark client, server and engine share the machine, so that what the
 * client burns is missing elsewhere. It reads the arrival time and the few fields that are measured, nothing more.
 */
import http from 'node:http'
import type { Source } from './tiers.js'

export interface Message {
  role: 'system' | 'user' | 'assistant'
  content: string
}

export interface ChatRequest {
  messages: Message[]
  /** Tokens to generate: exactly as many, since the end token is ignored. */
  tokens: number
  /** 0 by default. */
  temperature?: number
  /** Further members of the body: tools, response_format. */
  body?: Record<string, unknown>
  headers?: Record<string, string>
  /** Called on each content event; return true to hang up. */
  onContent?: (events: number) => boolean
  /** Milliseconds for which nothing is read after each piece of data: a slow reader. */
  readDelayMs?: number
  signal?: AbortSignal
}

/** Times are `performance.now()` milliseconds. */
export interface StreamResult {
  /** HTTP status; 0 when there was no reply. */
  status: number
  startedAt: number
  /** When each piece of text (content, reasoning, arguments of a tool call) arrived. Several pieces in one packet have one time. */
  arrivals: number[]
  endedAt: number
  text: string
  promptTokens: number
  completionTokens: number
  cachedTokens: number
  /** Where those came from; only Octavo tells. */
  source?: Source
  finishReason: string | null
  /** `[DONE]` was seen. */
  done: boolean
  /** The client hung up on purpose. */
  aborted: boolean
  /** Connection error, error event, or the body of a reply that is not a 200. */
  error: string | null
  headers: http.IncomingHttpHeaders
}

const agent = new http.Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, noDelay: true })

export interface Endpoint {
  host: string
  port: number
}

/** Asks for a streamed answer and waits for its end. Never rejects: what went wrong is in the result. */
export function stream(endpoint: Endpoint, chat: ChatRequest): Promise<StreamResult> {
  const result: StreamResult = {
    status: 0,
    startedAt: performance.now(),
    arrivals: [],
    endedAt: 0,
    text: '',
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
    finishReason: null,
    done: false,
    aborted: false,
    error: null,
    headers: {}
  }
  const body = chatBody(chat, true)
  return new Promise(resolve => {
    let request: http.ClientRequest
    const abort = () => {
      result.aborted = true
      request.destroy()
    }
    const finish = (error: string | null) => {
      if (result.endedAt > 0) return
      result.endedAt = performance.now()
      result.error ??= result.aborted ? null : error
      chat.signal?.removeEventListener('abort', abort)
      resolve(result)
    }
    const send = () => {
      request = http.request(
        {
          ...endpoint,
          agent,
          method: 'POST',
          path: '/v1/chat/completions',
          headers: {
            ...chat.headers,
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body)
          }
        },
        response => {
          result.status = response.statusCode ?? 0
          result.headers = response.headers
          response.setEncoding('utf8')
          response.on('error', error => finish(error.message))
          response.on('close', () => finish(response.complete ? null : 'the connection was cut'))
          if (result.status !== 200) {
            let text = ''
            response.on('data', (piece: string) => {
              text += piece
            })
            response.on('end', () => finish(text === '' ? `status ${result.status}` : text))
            return
          }
          let rest = ''
          response.on('data', (piece: string) => {
            const events = result.arrivals.length
            rest = readLines(rest + piece, performance.now(), result)
            if (result.arrivals.length > events && chat.onContent?.(result.arrivals.length)) {
              result.aborted = true
              request.destroy()
            } else if (chat.readDelayMs) {
              response.pause()
              setTimeout(() => response.resume(), chat.readDelayMs)
            }
          })
          response.on('end', () => finish(null))
        }
      )
      request.on('error', error => {
        if (result.status === 0 && !result.aborted && closedMeanwhile(request, error)) send()
        else finish(error.message)
      })
      request.end(body)
    }
    send()
    if (chat.signal?.aborted) abort()
    else chat.signal?.addEventListener('abort', abort)
  })
}

/**
 * A kept connection that the server closed just as it was used again: not an error, but the reason to send once more
 * (Node's documentation of `request.reusedSocket`). llama-server does it after each stream.
 */
function closedMeanwhile(request: http.ClientRequest, error: NodeJS.ErrnoException): boolean {
  return request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
}

/**
 * The body that every server gets: greedy, no end token, the usage at the end. Whether a template opens a thinking part
 * is said, since servers differ in what they take for granted and would then see different prompts.
 */
export function chatBody(chat: ChatRequest, streamed: boolean): string {
  return JSON.stringify({
    messages: chat.messages,
    max_tokens: chat.tokens,
    temperature: chat.temperature ?? 0,
    ignore_eos: true,
    chat_template_kwargs: { enable_thinking: false },
    ...chat.body,
    ...(streamed ? { stream: true, stream_options: { include_usage: true } } : {})
  })
}

interface Chunk {
  choices?: Array<{
    delta?: {
      content?: string | null
      reasoning_content?: string | null
      tool_calls?: Array<{ function?: { arguments?: string } }>
    }
    finish_reason?: string | null
  }>
  usage?: {
    prompt_tokens: number
    completion_tokens: number
    prompt_tokens_details?: { cached_tokens?: number }
    octavo_cache?: Source
  } | null
  error?: unknown
}

/** Reads the whole lines of `text` and returns what is left over. */
function readLines(text: string, now: number, result: StreamResult): string {
  let start = 0
  for (;;) {
    const end = text.indexOf('\n', start)
    if (end < 0) return start === 0 ? text : text.slice(start)
    if (text.startsWith('data: ', start)) readData(text.slice(start + 6, end), now, result)
    start = end + 1
  }
}

function readData(data: string, now: number, result: StreamResult): void {
  if (data.startsWith('[DONE]')) {
    result.done = true
    return
  }
  let chunk: Chunk
  try {
    chunk = JSON.parse(data)
  } catch {
    result.error ??= `not JSON: ${data.slice(0, 200)}`
    return
  }
  if (chunk.error !== undefined) result.error ??= JSON.stringify(chunk.error)
  const choice = chunk.choices?.[0]
  const delta = choice?.delta
  const text = delta?.content || delta?.reasoning_content || delta?.tool_calls?.[0]?.function?.arguments
  if (text) {
    result.arrivals.push(now)
    result.text += text
  }
  if (choice?.finish_reason) result.finishReason = choice.finish_reason
  if (chunk.usage) {
    result.promptTokens = chunk.usage.prompt_tokens
    result.completionTokens = chunk.usage.completion_tokens
    result.cachedTokens = chunk.usage.prompt_tokens_details?.cached_tokens ?? 0
    if (chunk.usage.octavo_cache) result.source = chunk.usage.octavo_cache
  }
}

export interface Reply {
  status: number
  body: string
  headers: http.IncomingHttpHeaders
  /** Milliseconds from sending to the last byte. */
  ms: number
}

/** One plain request. Rejects when there is no reply. */
export function fetchText(
  endpoint: Endpoint,
  path: string,
  options: { method?: string; body?: string; timeoutMs?: number } = {}
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const send = () => {
      const request = http.request(
        {
          ...endpoint,
          agent,
          path,
          method: options.method ?? 'GET',
          headers: options.body === undefined ? {} : { 'content-type': 'application/json' },
          timeout: options.timeoutMs ?? 30_000
        },
        response => {
          let body = ''
          response.setEncoding('utf8')
          response.on('data', (piece: string) => {
            body += piece
          })
          response.on('error', reject)
          response.on('end', () => {
            const ms = performance.now() - startedAt
            resolve({ status: response.statusCode ?? 0, body, headers: response.headers, ms })
          })
        }
      )
      request.on('timeout', () => request.destroy(new Error(`no answer from ${path} in time`)))
      request.on('error', error => {
        if (closedMeanwhile(request, error)) send()
        else reject(error)
      })
      request.end(options.body)
    }
    send()
  })
}

/** Milliseconds from sending to the first text; NaN when none came. */
export function firstTokenMs(result: StreamResult): number {
  return result.arrivals.length === 0 ? Number.NaN : result.arrivals[0]! - result.startedAt
}

/** What is wrong with an answer that should have `tokens` tokens; null when it is whole. */
export function flaw(result: StreamResult, tokens: number): string | null {
  if (result.error !== null) return `status ${result.status}: ${result.error.slice(0, 300)}`
  if (result.status !== 200) return `status ${result.status}`
  if (!result.done) return 'the stream ended without [DONE]'
  if (result.finishReason !== 'length') return `finish_reason ${result.finishReason}, expected length`
  if (result.completionTokens !== tokens) return `${result.completionTokens} tokens instead of ${tokens}`
  if (result.arrivals.length === 0 || result.text === '')
    return `an empty answer (${result.completionTokens} tokens, finish reason ${result.finishReason})`
  return null
}

/** @throws Error naming `who` and the first flaw, when an answer is not whole. A figure over broken answers is no figure. */
export function assertWhole(results: readonly StreamResult[], tokens: number, who: string): void {
  for (const result of results) {
    const wrong = flaw(result, tokens)
    if (wrong !== null) throw new Error(`${who}: ${wrong}`)
  }
}
