import type { ServerResponse } from 'node:http'

/**
 * Calls `listener` once when a reply is over: sent (`whole`), or cut because its connection ended. Fastify's onResponse
 * is not called for the latter.
 */
export function onReplyEnd(response: ServerResponse, listener: (whole: boolean) => void): void {
  let over = false
  const end = (whole: boolean) => {
    if (over) return
    over = true
    listener(whole)
  }
  if (response.closed) {
    setImmediate(end, false)
    return
  }
  response.once('finish', () => end(true))
  response.once('close', () => end(false))
}
