import { type Endpoint, fetchText } from './client.js'

/** Of all answers since the server's start: how many, and the time from their first token to their end. */
export interface DecodeTime {
  count: number
  seconds: number
}

/** @throws Error when the server does not tell. */
export async function decodeSeconds(server: Endpoint): Promise<DecodeTime> {
  const { body } = await fetchText(server, '/metrics')
  const read = (end: string) => {
    const line = new RegExp(
      `^octavo\\w*_request_decode_time_seconds_${end}(?:\\{[^}]*\\})? (\\S+)$`,
      'm'
    ).exec(body)
    if (!line) throw new Error('the server does not tell how long it decoded')
    return Number(line[1])
  }
  return { count: read('count'), seconds: read('sum') }
}
