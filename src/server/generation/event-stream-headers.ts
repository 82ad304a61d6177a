/** Of every server-sent event stream. */
export const eventStreamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // Proxies (nginx) would hold chunks back.
  'x-accel-buffering': 'no'
}
